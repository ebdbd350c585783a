import csv
from pathlib import Path

import numpy as np
import pytest

from dataset_builder.contract import StageError
from tests.tiny_encoder import tiny_esco, tiny_labels, write_tiny_benchmark, write_tiny_encoder
from training.base_model import open_encoder
from training.label_space import LabelSpace, label_space_of_esco
from training.validation import SkillRanking, load_metric, read_validation

LABELS = label_space_of_esco(tiny_esco())


class OneHot:
    """An encoder under which every text is one of a few known words."""

    training = False

    def __init__(self, words: dict[str, int]) -> None:
        self.words = words

    def eval(self):
        return self

    def train(self, mode: bool = True):
        return self

    def encode(self, texts, **options):
        return np.eye(8, dtype=np.float32)[[self.words[text] for text in texts]]


def rp(predictions, references, k) -> list[float]:
    """R-Precision@k of each, the obvious way."""
    return [
        len(set(top[:k]) & set(gold)) / min(k, len(gold)) for top, gold in zip(predictions, references, strict=True)
    ]


def write_benchmark(path: Path, rows: list[tuple[str, str]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("sentence", "label"), *rows])
    return path


def test_sentences_of_the_test_file_are_left_out_and_forbidden(tmp_path: Path):
    read = read_validation(write_tiny_benchmark(tmp_path / "benchmarks"))
    (benchmark,) = read.benchmarks
    assert (benchmark.name, read.shared_with_test) == ("tiny", 1)
    assert [query.sentence for query in benchmark.queries] == ["Please bake bread at night", "Weld our steel"]
    assert set(read.forbidden) == {
        "Please bake bread at night",
        "Weld our steel",
        "Shared by both: audit tax",
        "Sail ships at dawn",
    }


def test_test_files_are_never_measured_on(tmp_path: Path):
    """A folder with a test file only holds nothing to validate on."""
    write_benchmark(tmp_path / "x_test.csv", [("a", "bake bread")])
    with pytest.raises(StageError, match=r"holds no file named \*_validation.csv"):
        read_validation(tmp_path)


def test_sentences_without_a_label_are_forbidden_too(tmp_path: Path):
    path = write_benchmark(tmp_path / "own.csv", [("a", "bake bread"), ("b", "LABEL NOT PRESENT")])
    assert read_validation(path).forbidden == ("a", "b")


def test_a_validation_that_is_all_test(tmp_path: Path):
    for kind in ("validation", "test"):
        write_benchmark(tmp_path / f"x_{kind}.csv", [("a", "bake bread")])
    with pytest.raises(StageError, match="no sentence that does not stand in a test file"):
        read_validation(tmp_path)


def test_ranking_by_hand(tmp_path: Path):
    """Labels a b c d, k = 2. The first sentence is a: top 2 is a, then b by label order; gold a, c: 1 of 2. The second
    is d: d, a; gold d: 1 of 1. Mean 0.75. The second file: sentence b, gold b: 1. Mean of both 0.875."""
    labels = LabelSpace(("a", "b", "c", "d"), ("",) * 4, "x")
    write_benchmark(tmp_path / "one_validation.csv", [("first", "a"), ("first", "c"), ("second", "d")])
    write_benchmark(tmp_path / "two_validation.csv", [("third", "b")])
    encoder = OneHot({"a": 0, "b": 1, "c": 2, "d": 3, "first": 0, "second": 3, "third": 1})
    ranking = SkillRanking(read_validation(tmp_path), labels, rp, k=2, primary="two")
    assert ranking(encoder) == {"rp@2_one": 0.75, "rp@2_two": 1.0, "rp@2_mean": 0.875}
    assert ranking.primary_metric == "rp@2_two"


def test_twin_labels_are_one_answer(tmp_path: Path):
    """Both skills called a lead the ranking; they take one of the two places, so b is the second."""
    labels = LabelSpace(("a", "a", "b", "c"), ("",) * 4, "x")
    path = write_benchmark(tmp_path / "one.csv", [("first", "b")])
    encoder = OneHot({"a": 0, "b": 1, "c": 2, "first": 0})
    assert SkillRanking(read_validation(path), labels, rp, k=2)(encoder)["rp@2_one"] == 1.0


def test_choosing_by_a_benchmark_that_is_none(tmp_path: Path):
    path = write_benchmark(tmp_path / "one.csv", [("first", "b")])
    with pytest.raises(StageError, match=r"'tech' is no benchmark\. Known: mean, one"):
        SkillRanking(read_validation(path), LABELS, rp, primary="tech")


@pytest.mark.parametrize("token_share", [0, 0.7, 1])
def test_a_real_encoder_and_the_real_metric(tmp_path: Path, token_share: float):
    """An untrained encoder still puts a label itself first: RP@5 of labels as sentences is 1 under cosine."""
    encoder = open_encoder(write_tiny_encoder(tmp_path / "encoder"))
    path = write_benchmark(tmp_path / "labels.csv", [(label, label) for label in tiny_labels()])
    ranking = SkillRanking(read_validation(path), LABELS, load_metric(), token_share=token_share)
    found = ranking(encoder)["rp@5_labels"]
    assert 0 < found <= 1
    assert token_share or found == 1.0


def test_a_metric_that_is_none(tmp_path: Path):
    with pytest.raises(StageError, match="cannot be loaded"):
        load_metric(tmp_path / "absent")
