"""The bench of the bulk command: rows drawn by Zipf's law, an output that is checked row by row, its figures."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bulk_output import output_schema
from dataset_builder.contract import StageError, run_command
from space import bench_bulk
from space.bench_bulk import count_differing, drawn, report, write_rows
from tests.test_taxonomy import stub_model
from tests.tiny_finder import with_index

TEXTS = ["You bake bread", "You write sql", "We sing"]


def found(*uris):
    return [{"uri": uri, "label": "", "type": "", "score": 1.0, "start": 0, "end": 1} for uri in uris]


def write_output(path, rows):
    pq.write_table(pa.Table.from_pylist(rows, schema=output_schema()), path)
    return path


def rows_of(numbers, skills):
    return [
        {"row": row, "key": str(row), "skills": found(*skills[number]), "error": None}
        for row, number in enumerate(numbers)
    ]


def test_texts_come_as_zipf_says():
    """Weights 1, 1/2 and 1/3 of 11/6: 54.5%, 27.3% and 18.2% of 100,000 rows, give or take half a percent."""
    numbers = np.concatenate(list(drawn(3, 100_000)))
    shares = np.bincount(numbers) / 100_000
    assert np.abs(shares - np.array([6, 3, 2]) / 11).max() < 0.005
    assert np.array_equal(numbers, np.concatenate(list(drawn(3, 100_000))))


def test_rows_hold_the_texts_that_were_drawn(tmp_path):
    write_rows(tmp_path / "rows.parquet", TEXTS, 50)
    rows = pq.read_table(tmp_path / "rows.parquet").to_pylist()
    assert [row["id"] for row in rows] == [str(number) for number in range(50)]
    assert [row["description"] for row in rows] == [TEXTS[number] for number in next(drawn(3, 50))]


def test_every_row_is_checked(tmp_path):
    """Rows 3 and 4 of 50 change places: their keys are then not their numbers."""
    skills = [("a",), ("b", "c"), ()]
    numbers = next(drawn(3, 50)).tolist()
    whole = rows_of(numbers, skills)
    assert count_differing(write_output(tmp_path / "whole.parquet", whole), 3, 50) == 0
    swapped = [*whole[:3], whole[4], whole[3], *whole[5:]]
    with pytest.raises(StageError, match="rows 0 to 49"):
        count_differing(write_output(tmp_path / "swapped.parquet", swapped), 3, 50)
    with pytest.raises(StageError, match="49 rows instead of 50"):
        count_differing(write_output(tmp_path / "short.parquet", whole[:49]), 3, 50)
    failed = [*whole[:7], {**whole[7], "error": "no text"}, *whole[8:]]
    with pytest.raises(StageError, match="not those of the input"):
        count_differing(write_output(tmp_path / "failed.parquet", failed), 3, 50)


def test_a_text_that_is_read_otherwise_is_counted(tmp_path):
    """The last row has a skill that its text had nowhere before."""
    numbers = next(drawn(3, 50)).tolist()
    rows = rows_of(numbers, [("a",), ("b", "c"), ()])
    rows[-1] = {**rows[-1], "skills": found("other")}
    assert count_differing(write_output(tmp_path / "out.parquet", rows), 3, 50) == 1


def test_the_command_measures_a_tenth_and_all(tmp_path):
    """40 rows: 4 first. The model is opened in a fresh process, so memory is that of a Python with numpy at least."""
    folder = with_index(stub_model(tmp_path), ["bake bread", "sql"])
    (tmp_path / "texts.txt").write_text("\n".join([*TEXTS, TEXTS[0]]))
    page = tmp_path / "page.md"
    page.write_text("<!-- bulk -->\n<!-- /bulk -->\n")
    out = tmp_path / "bulk.json"
    arguments = [str(folder), "--sentences", str(tmp_path / "texts.txt"), "--rows", "40"]
    bench_bulk.main([*arguments, "--scratch", str(tmp_path), "--out", str(out), "--into", str(page)])
    record = json.loads(out.read_text())
    assert [(run["rows"], run["distinct"], run["differing"]) for run in record["runs"]] == [
        (rows, len(set(next(drawn(3, rows)).tolist())), 0) for rows in (4, 40)
    ]
    assert all(run["peak_memory_bytes"] > 50e6 and run["output_bytes"] > 100 for run in record["runs"])
    assert report(record) in page.read_text()
    assert not list(tmp_path.glob("tmp*"))  # what was written to be read is gone


def test_figures_by_hand():
    """1,200 rows in 60 s are 20 a second and a minute."""
    run = {"rows": 1200, "distinct": 7, "seconds": 60.0, "peak_memory_bytes": 5e8, "output_bytes": 2e6, "differing": 0}
    record = {"model": "m", "backend": "onnx", "cpu_cores": 2, "runs": [run]}
    assert report(record).splitlines()[-1] == "| 1,200 | 7 | 20 | 1.0 | 500 MB | 2 MB |"


def test_bad_numbers_are_one_line(tmp_path, capsys):
    for option, value in (("--rows", "9"), ("--distinct", "0")):
        assert run_command(bench_bulk.main, [str(tmp_path), option, value]) == 2
        assert "at least" in capsys.readouterr().err
