"""The tables of extractor.json: every number from the record, and what is missing said."""

import json
from dataclasses import replace

import pytest

from dataset_builder.contract import StageError
from dataset_builder.markdown_parts import markers_of
from space import bench, bench_report

OURS = bench.Rate("ours, onnx", 2000, 88_000, 87_912, 176.0)
RECORD = {
    "schema_version": 1,
    "model": "0.2.0",
    "cpu_cores": 2,
    "sentences_an_ad": 44,
    "words_an_ad": 612.4,
    "figures": {
        "left_out": {"torch": "/a/path holds no weights"},
        "cold start of the page, s": 8.66,
        "bare encoding, onnx": bench._as_figure(replace(OURS, seconds=160.0)),
        "ours, onnx": bench._as_figure(OURS),
        "share of bare encoding, onnx": 0.909,
        "share of bare encoding by characters, onnx": 0.954,
        "latency, onnx": {"1": {"median_s": 0.5, "p95_s": 0.61}, "32": {"median_s": 7.0, "p95_s": 9.9}},
        "memory, onnx": 512_000_000,
        "RP@5, onnx": 0.5539,
        "loop": bench._as_figure(bench.Rate("loop", 100, 4400, 4400, 88.0)),
        "esco-skill-extractor version": "0.1.18",
        "esco-skill-extractor": bench._as_figure(bench.Rate("x", 100, 4400, 4400, 44.0)),
        "RP@5, esco-skill-extractor": 0.4,
        "memory, loop": 950_000_000,
        "memory, esco-skill-extractor": 1_300_000_000,
    },
}


def lines():
    return bench_report.report(RECORD).splitlines()


def test_rates_and_their_ratio_by_hand():
    """88,000 passages in 176 s: 500 a second, and 550 of bare encoding in 160 s: 91%; the loop 4,400 in 88 s: 50, a
    tenth; esco-skill-extractor 4,400 in 44 s: 100, a fifth. 87,912 of 88,000 are 99.9%.
    """
    assert "| ours, onnx | 2,000 | 11.4 | 500 | 91% | 95% | 10.0 | 5.0 | 55.39 | 512 MB |" in lines()
    assert "| bare encoding, onnx | 2,000 | 12.5 | 550 | - | - | 11.0 | 5.5 | - | - |" in lines()
    assert "| a loop over sentence-transformers | 100 | 1.1 | 50 | - | - | 1.0 | 0.5 | - | 950 MB |" in lines()
    assert "| esco-skill-extractor 0.1.18 | 100 | 2.3 | 100 | - | - | 2.0 | 1.0 | 40.00 | 1,300 MB |" in lines()
    assert lines()[0].endswith("Passages that differ: 99.9% in 2,000 ads, 100.0% in 100 ads.")


def test_what_a_million_ads_take():
    """2,000 ads in 176 s: 88,000 s, or 1.02 days."""
    assert "A million such ads take 1.0 days by onnx." in lines()


def test_latency_and_what_was_left_out():
    assert "| onnx | 32 | 7.00 s | 9.90 s |" in lines()
    assert "Not measured here: torch." in lines()
    assert "44 lines and 612 words, on 2 CPU cores, model 0.2.0; the page starts in 8.7 s. " in lines()[0]


def test_without_a_loop_there_is_no_ratio():
    figures = {name: figure for name, figure in RECORD["figures"].items() if name != "loop"}
    text = bench_report.report({**RECORD, "figures": figures})
    assert "| ours, onnx | 2,000 | 11.4 | 500 | 91% | 95% | - | 5.0 | 55.39 | 512 MB |" in text.splitlines()


def test_into_a_page(tmp_path, capsys):
    record, page = tmp_path / "extractor.json", tmp_path / "README.md"
    record.write_text(json.dumps(RECORD), encoding="utf-8")
    start, end = markers_of(bench_report.PART)
    page.write_text(f"before\n{start}\nold\n{end}\nafter\n", encoding="utf-8")
    for _ in range(2):
        bench_report.main([str(record), "--into", str(page)])
        assert page.read_text(encoding="utf-8") == f"before\n{start}\n{bench_report.report(RECORD)}\n{end}\nafter\n"
    assert "times loop" in capsys.readouterr().out
    page.write_text("no markers", encoding="utf-8")
    with pytest.raises(StageError, match="no place"):
        bench_report.main([str(record), "--into", str(page)])


def test_records_that_are_none_or_old(tmp_path):
    old = {**RECORD["figures"]["loop"]}
    del old["distinct_share"]
    for content, says in [
        ("", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"schema_version": 2, "figures": {}}', "schema version 2"),
        (json.dumps({**RECORD, "figures": {"loop": old}}), "how many passages are distinct"),
    ]:
        (tmp_path / "r.json").write_text(content, encoding="utf-8")
        with pytest.raises(StageError, match=says):
            bench_report.read_record(tmp_path / "r.json")
    with pytest.raises(StageError, match="cannot be read"):
        bench_report.read_record(tmp_path / "nothing.json")
