"""The benchmark of the quick run: every label is in the sample, and its sentences are of the kinds real ads have."""

from pathlib import Path

import pytest

from dataset_builder.benchmark_files import BenchmarkFile, read_benchmark_file
from dataset_builder.esco import read_esco


@pytest.fixture(scope="module")
def benchmark() -> BenchmarkFile:
    return read_benchmark_file(Path(__file__).resolve().parent.parent / "eval" / "mini_benchmark.csv")


def test_counts(benchmark: BenchmarkFile):
    """132 rows: 128 (sentence, skill) pairs over 84 sentences, and 4 rows of sentences without a skill."""
    assert (benchmark.rows, benchmark.dropped_rows) == (132, 4)
    assert (len(benchmark.queries), len(benchmark.without_skill)) == (84, 4)
    assert sum(len(query.labels) for query in benchmark.queries) == 128


def test_every_label_is_in_the_sample_and_every_skill_is_asked_for(benchmark: BenchmarkFile, repo: Path):
    labels = {label for query in benchmark.queries for label in query.labels}
    assert labels == set(read_esco(repo / "dataset_builder/sample_esco").labels)


def test_kinds_of_sentences(benchmark: BenchmarkFile):
    sentences = [query.sentence for query in benchmark.queries]
    assert len(set(sentences)) == len(sentences)
    assert sum(sentence.startswith("* ") for sentence in sentences) >= 20
    assert sum(len(query.labels) > 1 for query in benchmark.queries) >= 30
    assert sum(" ." in sentence or " ," in sentence for sentence in sentences) >= 15
    assert any("<ORGANIZATION>" in sentence for sentence in sentences)


def test_few_sentences_name_their_skill(benchmark: BenchmarkFile):
    """At most a sixth of the pairs repeat the label word for word, so plain matching does not solve it."""
    pairs = [(query.sentence.lower(), label.lower()) for query in benchmark.queries for label in query.labels]
    assert sum(label in sentence for sentence, label in pairs) < len(pairs) / 6
