"""WorkRB's metrics, task classes and token-level score agree with ours; ties and duplicates part them."""

from pathlib import Path

import evaluate
import numpy as np
import pytest
import torch
from workrb.metrics.ranking import calculate_ranking_metrics
from workrb.models.bi_encoder import BiEncoderModel, ConTeXTMatchModel

from dataset_builder.contract import run_command
from eval import bench
from eval.bench import SpeedRecord
from eval.benchmarks import load_benchmarks
from eval.encoders import EncoderOptions, cosine_system
from eval.label_space import names_of_esco
from eval.query_metrics import values_of
from eval.ranking import rank_of, top_of
from eval.token_matching import token_matching_scores
from tests.eval_records import write_benchmarks, write_esco, write_model

METRICS = ["rp@1", "rp@5", "rp@10", "mrr", "hit@5", "recall@10", "ndcg@10"]
METRIC_FOLDER = Path(__file__).resolve().parent.parent / "eval" / "r_precision_at_k"


def test_a_thousand_random_score_matrices():
    """Six queries, forty labels, one to eight gold labels each; float64 scores do not tie."""
    generator = np.random.default_rng(0)
    metric = evaluate.load(str(METRIC_FOLDER))
    for _ in range(1000):
        scores = generator.random((6, 40))
        gold = [generator.choice(40, size=generator.integers(1, 9), replace=False).tolist() for _ in range(6)]
        theirs = calculate_ranking_metrics(scores, gold, METRICS)
        ranks = [tuple(rank_of(row, place) for place in places) for row, places in zip(scores, gold, strict=True)]
        for name in METRICS:
            assert values_of(ranks, name).mean() == pytest.approx(theirs[name], abs=1e-9)
        rankings = [[str(place) for place in top_of(row, 40)] for row in scores]
        ours = metric._compute(rankings, [list(map(str, places)) for places in gold], k=[1, 5, 10], mrr=True)
        for name in ("rp@1", "rp@5", "rp@10", "mrr"):
            assert ours[name] == pytest.approx(theirs[name], abs=1e-9)


def test_repeated_gold_labels_part_the_two():
    """One label, gold twice: found first, so 1/1. A list of two makes it 1/2; WorkRB's tasks remove repeats before."""
    assert calculate_ranking_metrics(np.array([[0.9, 0.1]]), [[0, 0]], ["rp@2"])["rp@2"] == 0.5
    metric = evaluate.load(str(METRIC_FOLDER))
    assert metric.compute(predictions=[["a", "b"]], references=[["a", "a"]], k=2) == {"rp@2": 1.0}


def test_ties_go_to_label_order_here_and_to_the_sort_there():
    """A thousand equal scores: here label 700 has rank 701. There its rank is whatever numpy's quicksort leaves, so
    the same scores in two blocks of columns may rank it differently; only without ties can the two agree.
    """
    row = np.zeros(1000)
    assert rank_of(row, 700) == 701
    theirs = calculate_ranking_metrics(row[None, :], [[700]], ["mrr"])["mrr"]
    assert 1 / 1000 <= theirs <= 1


def test_examples_without_gold_are_left_out_silently_there_and_counted_here():
    """The second example has no gold: RP@1 is 1/1 over the first alone on both sides; only ours says so."""
    scores = np.array([[0.9, 0.1], [0.9, 0.1]])
    assert calculate_ranking_metrics(scores, [[0], []], ["rp@1"]) == {"rp@1": 1.0}
    metric = evaluate.load(str(METRIC_FOLDER))
    examples = {"predictions": [["a", "b"], ["a", "b"]], "references": [["a"], []]}
    assert metric.compute(**examples, k=1, on_empty="skip") == {"rp@1": 1.0, "skipped": 1}


def test_token_level_scores_agree_with_context_match():
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(3, 7, 16, generator=generator)
    labels = torch.randn(11, 16, generator=generator)
    theirs = ConTeXTMatchModel._context_match_score(tokens.clone(), labels).numpy()
    ours = np.stack([token_matching_scores(sentence.numpy(), labels.numpy()) for sentence in tokens])
    assert ours == pytest.approx(theirs, abs=1e-5)


def test_labels_are_encoded_once_for_all_benchmarks_here_and_once_a_task_there(tmp_path):
    """Five labels and two benchmarks: five texts are encoded as labels here; there, all targets twice."""
    names = names_of_esco([write_esco(tmp_path / "esco")])
    benchmarks = load_benchmarks([str(write_benchmarks(tmp_path / "b"))], "test")
    model = Counting()
    bench.score_ours(cosine_system("m", model, EncoderOptions()), benchmarks, names)
    assert sorted(model.documents) == sorted(names.labels)
    theirs = BiEncoderModel(str(write_model(tmp_path / "model")))
    theirs.model = model = Counting()
    bench.score_with_workrb(theirs, benchmarks, names)
    assert sorted(text for text in model.texts if text in names.labels) == sorted([*names.labels] * len(benchmarks))


class Counting:
    """An encoder that notes what it is given; vectors are the letters' counts."""

    tokenizer = None

    def __init__(self):
        self.documents, self.texts = [], []

    def encode(self, texts, **_options):
        self.texts += texts
        return torch.tensor([[1.0 + text.lower().count(letter) for letter in "abcdefgh"] for text in texts])

    def encode_query(self, texts, **_options):
        return self.encode(texts).numpy()

    def encode_document(self, texts, **_options):
        self.documents += texts
        return [row.numpy() for row in self.encode(texts)]


def test_task_classes_fed_the_same_rows(tmp_path, capsys):
    """TECH and HOUSE through WorkRB's own classes: the same scores to the last digits, and both times recorded."""
    model, esco = write_model(tmp_path / "model"), write_esco(tmp_path / "esco")
    folder = write_benchmarks(tmp_path / "benchmarks")
    arguments = [str(model), "--benchmarks", str(folder), "--esco", str(esco), "--out", str(tmp_path / "speed.json")]
    arguments += ["--name", "tiny"]
    assert run_command(bench.main, arguments) == 0
    record = SpeedRecord.load(tmp_path / "speed.json")
    assert list(record.workrb) == ["TECH", "HOUSE"]
    assert record.largest_difference < 1e-9
    assert (record.model, len(record.ours_seconds), len(record.workrb_seconds)) == ("tiny", 1, 1)
    assert "largest difference 0.000 points" in capsys.readouterr().out
