"""Many ads: any input, one output row an ad, the same after a crash and from every engine."""

import csv
import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bulk
import bulk_parts
from bulk_output import Joined, Parts
from bulk_parts import PartWorker, in_parts
from bulk_rows import AdSource, Row
from skill_finder import SkillFinderError
from tests.bulk_ads import bulk_command
from tests.tiny_finder import tiny_finder
from token_scores import RememberingReader

ADS = ["You bake bread", "We pay well", "You know SQL and R", "You bake bread", "", "Plan shifts of employees"]


def write_parquet(path, texts, column="text"):
    pq.write_table(pa.table({column: pa.array(texts, pa.string()), "id": [f"ad-{i}" for i in range(len(texts))]}), path)
    return path


def run(source: AdSource, out, threshold=None):
    parts = Parts(out)
    parts.open({"run": 1}, restart=False)
    parts.join(bulk.run_local(source, parts, PartWorker(tiny_finder(), threshold), quiet=True))
    return pq.read_table(out).to_pylist()


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(bulk, "PART_ROWS", 2)
    monkeypatch.setattr(bulk_parts.in_parts, "__defaults__", (2,))


class TestInput:
    def test_every_kind_of_file_gives_the_same(self, tmp_path):
        write_parquet(tmp_path / "ads.parquet", ADS)
        lines = "".join(json.dumps({"text": ad}) + "\n" for ad in ADS)
        (tmp_path / "ads.jsonl").write_text(lines, encoding="utf-8")
        with gzip.open(tmp_path / "ads.jsonl.gz", "wt", encoding="utf-8") as file:
            file.write(lines)
        with (tmp_path / "ads.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerows([["text"], *([ad] for ad in ADS)])
        expected = [Row(ad) for ad in ADS]
        for name in ("ads.parquet", "ads.jsonl", "ads.jsonl.gz"):
            assert list(AdSource(str(tmp_path / name), "text").rows()) == expected
        # csv.writer writes an empty only cell as "", which reads back as an empty text.
        assert [row.text for row in AdSource(str(tmp_path / "ads.csv"), "text").rows()] == ADS

    def test_a_folder_is_read_in_the_order_of_its_names(self, tmp_path):
        write_parquet(tmp_path / "b.parquet", ["third"])
        write_parquet(tmp_path / "a.parquet", ["first", "second"])
        source = AdSource(str(tmp_path), "text", "id")
        assert [row.text for row in source.rows()] == ["first", "second", "third"]
        assert [row.text for row in source.rows(2)] == ["third"]
        assert source.count() == 3
        assert next(source.rows()).key == "ad-0"

    def test_bad_lines_have_their_error_in_their_row(self, tmp_path):
        file = tmp_path / "ads.jsonl"
        file.write_bytes(
            b'{"text": "You bake bread"}\n{"text": \n{"other": 1}\n{"text": null}\n{"text": 3}\n[1]\n{"text": "\xff"}\n'
        )
        rows = run(AdSource(str(file), "text"), tmp_path / "out.parquet")
        assert [row["error"] for row in rows] == [
            None,
            "line 2 is not JSON that can be read",
            "line 3 has no field 'text'",
            "no text",
            "the text is a int",
            "line 6 has no field 'text'",
            None,
        ]
        assert [row["row"] for row in rows] == list(range(7))

    def test_a_text_that_is_too_long_is_an_error_of_its_row_alone(self, tmp_path):
        source = AdSource(str(write_parquet(tmp_path / "ads.parquet", ["x" * 1_000_001, "You bake bread"])), "text")
        long, short = run(source, tmp_path / "out.parquet")
        assert "1,000,001" in long["error"]
        assert short["skills"][0]["label"] == "bake bread in ovens"

    @pytest.mark.parametrize("name", ["ads.xlsx", "missing.csv"])
    def test_what_cannot_be_read_is_named(self, tmp_path, name):
        if name == "ads.xlsx":
            (tmp_path / name).write_bytes(b"PK")
        with pytest.raises(SkillFinderError, match=name):
            list(AdSource(str(tmp_path / name), "text").rows())

    def test_a_missing_column_is_named_with_those_there_are(self, tmp_path):
        write_parquet(tmp_path / "ads.parquet", ADS)
        with pytest.raises(SkillFinderError, match=r"'description' \(found: text, id\)"):
            list(AdSource(str(tmp_path / "ads.parquet"), "description").rows())

    def test_a_parquet_that_is_none(self, tmp_path):
        (tmp_path / "ads.parquet").write_bytes(b"no")
        with pytest.raises(SkillFinderError, match="not a Parquet file"):
            list(AdSource(str(tmp_path / "ads.parquet"), "text").rows())


class TestRun:
    def test_one_row_an_ad_in_order(self, tmp_path):
        rows = run(AdSource(str(write_parquet(tmp_path / "ads.parquet", ADS)), "text", "id"), tmp_path / "out.parquet")
        assert [row["row"] for row in rows] == [0, 1, 2, 3, 4, 5]
        assert [row["key"] for row in rows] == [f"ad-{i}" for i in range(6)]
        assert [[skill["label"] for skill in row["skills"]] for row in rows] == [
            ["bake bread in ovens"], [], ["SQL", "R"], ["bake bread in ovens"], [], ["plan shifts of employees"],
        ]  # fmt: skip
        skill = rows[0]["skills"][0]
        assert ADS[0][skill["start"] : skill["end"]] == "You bake bread"
        assert not (tmp_path / "out.parquet.parts").exists()

    def test_the_same_text_is_encoded_once(self):
        finder = tiny_finder()
        encoder = finder.encoder
        before = len(encoder.calls)
        worker = PartWorker(finder)
        worker.work([Row("You bake bread"), Row("You bake bread")], 0)
        worker.work([Row("You bake bread"), Row("You bake bread\nYou sing")], 2)
        assert encoder.calls[before:] == [["You bake bread"], ["You sing"]]

    def test_what_is_remembered_is_bounded(self):
        reader = RememberingReader(tiny_finder().reader, kept=2)
        assert [one.vector.shape for one in reader.read(["a", "b", "c"])] == 3 * [(4096,)]
        reader.read(["c"])
        assert reader.encoded == 3
        reader.read(["a"])
        assert reader.encoded == 4

    def test_other_settings_do_not_go_on_with_old_parts(self, tmp_path):
        parts = Parts(tmp_path / "out.parquet")
        parts.open({"threshold": 0.5}, restart=False)
        with pytest.raises(SkillFinderError, match="another threshold"):
            parts.open({"threshold": 0.6}, restart=False)
        parts.open({"threshold": 0.6}, restart=True)

    def test_a_run_goes_on_after_the_parts_that_are_done(self, tmp_path):
        source = AdSource(str(write_parquet(tmp_path / "ads.parquet", ADS)), "text")
        whole = run(source, tmp_path / "whole.parquet")
        parts = Parts(tmp_path / "out.parquet")
        parts.open({"run": 1}, restart=False)
        first = next(in_parts(source.rows()))
        parts.save(0, PartWorker(tiny_finder()).work(first, 0))
        (parts.folder / ".part-00000001.parquet.99.tmp").write_bytes(b"half")
        done = parts.path(0).stat().st_mtime_ns
        count = bulk.run_local(source, parts, PartWorker(tiny_finder()), quiet=True)
        assert parts.path(0).stat().st_mtime_ns == done
        assert (count, parts.join(count)) == (3, Joined(6, 0))
        assert pq.read_table(tmp_path / "out.parquet").to_pylist() == whole


KILLED = """
import sys, time
sys.path[:0] = [{repo!r}, {space!r}]
import bulk, bulk_parts
from bulk_output import Parts
from bulk_parts import PartWorker
from bulk_rows import AdSource
from tests.tiny_finder import tiny_finder
bulk.PART_ROWS = 2
bulk_parts.in_parts.__defaults__ = (2,)
parts = Parts(__import__("pathlib").Path({out!r}))
parts.open({{"run": 1}}, restart=False)
worker = PartWorker(tiny_finder())
work = worker.work
worker.work = lambda rows, first: (time.sleep(0.2), work(rows, first))[1]
bulk.run_local(AdSource({ads!r}, "text"), parts, worker, quiet=True)
"""


def test_a_killed_run_loses_and_doubles_nothing(tmp_path, repo):
    """100 ads in parts of 2; SIGKILL after a few parts; the same run then ends with rows 0..99, once each."""
    texts = [f"bake bread {i}" for i in range(100)]
    ads = write_parquet(tmp_path / "ads.parquet", texts)
    out = tmp_path / "out.parquet"
    script = KILLED.format(repo=str(repo), space=str(repo / "space"), out=str(out), ads=str(ads))
    process = subprocess.Popen([sys.executable, "-c", script])
    parts = Parts(out)
    for _ in range(6000):
        if parts.is_done(3):
            break
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert parts.is_done(3)
    assert not parts.is_done(49)
    rows = run(AdSource(str(ads), "text"), out)
    assert [row["row"] for row in rows] == list(range(100))
    assert all(row["skills"] for row in rows)


def test_the_command_and_its_errors(tmp_path, monkeypatch, capsys):
    from types import SimpleNamespace

    monkeypatch.setattr(bulk, "open_service", lambda *_: SimpleNamespace(finder=tiny_finder()))
    ads = write_parquet(tmp_path / "ads.parquet", ADS)
    bulk.main([str(ads), str(tmp_path / "out.parquet")])
    assert "6 ads" in capsys.readouterr().out
    assert bulk.run_command(bulk.main, [str(ads), str(tmp_path / "x.parquet"), "--text-column", "no"]) == 2
    assert "no column 'no'" in capsys.readouterr().err
    assert bulk.run_command(bulk.main, [str(ads), str(tmp_path / "x.parquet"), "--threshold", "7"]) == 2
    assert "--threshold" in capsys.readouterr().err
    assert bulk.run_command(bulk.main, []) == 2


def test_a_bar_shows_how_far_it_is_and_how_long_it_takes(tmp_path, monkeypatch, capsys):
    """Six ads in parts of two: half a second a part, so that after one part there are about a second to go."""
    work = PartWorker.work
    monkeypatch.setattr(PartWorker, "work", lambda self, *given: time.sleep(0.5) or work(self, *given))
    ads = write_parquet(tmp_path / "ads.parquet", ADS)
    assert bulk_command(monkeypatch)(ads, tmp_path / "out.parquet") == 0
    bars = re.findall(r"(\d)/6 \[\d\d:\d\d<(\d\d:\d\d), .*?ads/s\]", capsys.readouterr().err)
    assert bars[-1] == ("6", "00:00")
    assert dict(bars)["2"] in ("00:01", "00:02", "00:03")


def test_estimate_by_the_command(monkeypatch, capsys):
    monkeypatch.setattr(bulk.estimate, "__defaults__", (0.05,))
    command = bulk_command(monkeypatch)
    assert command("--estimate", "--ads", 2000) == 0
    assert re.fullmatch(
        r"[\d.]+ ads a second here \(words\); 2,000 ads take about \d+ (seconds|minutes)\.\n", capsys.readouterr().out
    )
    assert command("--estimate", "--ads", 0) == 2
    assert "--ads must be at least 1, got 0" in capsys.readouterr().err


def test_estimate_says_how_long(monkeypatch):
    """At r ads a second, 100 ads take 100 / r seconds."""
    said = bulk.estimate(tiny_finder(), 100, seconds=0.05)
    assert "100 ads take about" in said
    assert float(said.split()[0]) > 0
