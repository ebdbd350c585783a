"""Token-level matching: the formula against slow ones, and a model trained for it from its folder to results.json."""

import math

import numpy as np
import pytest
import torch
import yaml
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from transformers import AutoModel, AutoTokenizer

from dataset_builder.benchmark_files import GoldSentence
from dataset_builder.contract import run_command
from eval import score_model
from eval.encoders import EncoderOptions, open_encoder
from eval.label_space import SkillNames
from eval.per_query import read_per_query
from eval.results import EvalResults
from eval.token_matching import TokenMatchingSystem, token_matching_scores
from tests.tiny_encoder import tiny_labels, write_tiny_benchmark, write_tiny_dataset, write_tiny_encoder
from training import train
from training.label_space import label_space_of_rows
from training.onnx_files import export_onnx
from training.validation import Benchmark, SkillRanking, ValidationSet, load_metric


def slow_score(tokens, label):
    """One sentence and one label in plain Python: attention over tokens by products, then the mean cosine."""
    products = [sum(float(a) * float(b) for a, b in zip(token, label, strict=True)) for token in tokens]
    weights = [math.exp(product - max(products)) for product in products]
    length = math.sqrt(sum(float(b) ** 2 for b in label))
    cosines = [
        product / math.sqrt(sum(float(a) ** 2 for a in token)) / length
        for product, token in zip(products, tokens, strict=True)
    ]
    return sum(w * c for w, c in zip(weights, cosines, strict=True)) / sum(weights)


def test_against_a_slow_implementation():
    generator = np.random.default_rng(0)
    tokens = generator.normal(size=(7, 5)).astype(np.float32)
    labels = generator.normal(size=(11, 5)).astype(np.float32)
    expected = [slow_score(tokens, label) for label in labels]
    assert token_matching_scores(tokens, labels) == pytest.approx(expected, abs=1e-5)


def test_one_token_is_the_cosine():
    """(3, 4) with (0, 2): all attention on the one token, cosine 4/5; with the zero vector 0."""
    tokens, labels = np.array([[3, 4]], dtype=np.float32), np.array([[0, 2], [0, 0]], dtype=np.float32)
    assert token_matching_scores(tokens, labels).tolist() == pytest.approx([0.8, 0])


def test_the_system_needs_its_index():
    system = TokenMatchingSystem("t", lambda texts: [], lambda texts: np.zeros((1, 2), dtype=np.float32))
    with pytest.raises(RuntimeError, match="index"):
        system.scores(["a"])


def test_a_share_of_the_score_leaves_the_rest_to_the_cosine():
    """Tokens (1, 0) and (0, 1), sentence (1, 1), label (2, 0): 0.880797 by tokens, cosine 0.707107; 0.7 and 0.3."""
    one = np.eye(2, dtype=np.float32)
    given = (lambda texts: [one for _ in texts], lambda texts: np.array([[2, 0]], dtype=np.float32))
    system = TokenMatchingSystem("t", *given, lambda texts: np.ones((len(texts), 2), dtype=np.float32), 0.7)
    system.index(SkillNames(labels=("a",), source="", version=""))
    assert system.scores(["x", "y"]) == pytest.approx(np.full((2, 1), 0.7 * 0.880797 + 0.3 * 0.707107), abs=1e-5)


@pytest.mark.parametrize(("share", "words"), [(0.0, "above 0"), (1.5, "at most 1"), (0.5, "needs encode_sentences")])
def test_shares_that_make_no_score_are_refused(share, words):
    with pytest.raises(ValueError, match=words):
        TokenMatchingSystem("t", lambda texts: [], lambda texts: np.zeros((1, 2), dtype=np.float32), None, share)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model trained by `token_match` from an encoder that normalises its vectors, and what it is scored on."""
    return trained_place(tmp_path_factory.mktemp("tokens"), "token_match")


@pytest.fixture(scope="module")
def place_of_both(tmp_path_factory):
    """The same by `token_and_cosine`."""
    return trained_place(tmp_path_factory.mktemp("both"), "token_and_cosine")


def trained_place(root, loss):
    write_tiny_encoder(root / "bert")
    modules = [Transformer(str(root / "bert")), Pooling(32), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save(str(root / "base"))
    write_tiny_dataset(root / "dataset.csv")
    write_tiny_benchmark(root / "benchmarks")
    (root / "esco").mkdir()
    lines = ["conceptType,conceptUri,skillType,preferredLabel,altLabels,description"]
    lines += [f"KnowledgeSkillCompetence,http://x/{n},knowledge,{label},," for n, label in enumerate(tiny_labels())]
    (root / "esco" / "skills_en.csv").write_text("\n".join(lines), encoding="utf-8")
    stage = {"name": "tokens", "sources": {"synthetic": {}}, "epochs": 1, "batch_size": 16, "learning_rate": 0.001}
    recipe = {"name": "tokens", "seed": 1, "precision": "fp32", "stages": [{**stage, "loss": {"name": loss}}]}
    (root / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    inputs = ["--dataset", root / "dataset.csv", "--base-model", root / "base", "--out", root / "model"]
    train.main([str(value) for value in ["--recipe", root / "recipe.yaml", *inputs, "--threads", 1]])
    return root


def score(place, *more):
    command = [place / "model", "--benchmarks", place / "benchmarks", "--esco", place / "esco", "--samples", 50]
    command += ["--out", place / "r.json", "--per-query", place / "r.jsonl", *more]
    assert run_command(score_model.main, list(map(str, command))) == 0
    return EvalResults.load(place / "r.json"), read_per_query(place / "r.jsonl")


def test_a_trained_model_is_scored_as_it_was_trained(place):
    """From the weights alone: token vectors as BERT leaves them, labels their mean, and the slow formula over both."""
    record, answers = score(place)
    assert (record.system.kind, record.system.settings["score"]) == ("token-matching", "token-matching")
    bert, tokenizer = AutoModel.from_pretrained(place / "model"), AutoTokenizer.from_pretrained(place / "model")

    def tokens_of(text):
        with torch.no_grad():
            return bert(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]

    labels = {label: tokens_of(label).mean(dim=0) for label in tiny_labels()}
    assert [answer.sentence for answer in answers] == ["Shared by both: audit tax", "Sail ships at dawn"]
    for answer in answers:
        scores = {label: slow_score(tokens_of(answer.sentence), vector) for label, vector in labels.items()}
        best = sorted(scores, key=scores.get, reverse=True)
        assert answer.top_scores == pytest.approx([scores[label] for label in best[:10]], abs=2e-4)
        assert answer.gold_ranks == tuple(best.index(label) + 1 for label in answer.gold)


def test_a_model_trained_for_both_is_scored_by_both(place_of_both):
    """0.7 of the token-level score and 0.3 of the cosine, as asked for one by one; the training's ranking agrees."""
    record, both = score(place_of_both)
    assert (record.system.kind, record.system.settings["token_share"]) == ("token-matching", "0.7")
    _, by_tokens = score(place_of_both, "--score", "token-matching")
    _, by_cosine = score(place_of_both, "--score", "cosine")
    labels = tiny_labels()
    for answer, tokens, cosine in zip(both, by_tokens, by_cosine, strict=True):
        parts = [dict(zip(one.top, one.top_scores, strict=True)) for one in (tokens, cosine)]
        shared = [label for label in answer.top if all(label in part for part in parts)]
        assert len(shared) >= 2
        found = dict(zip(answer.top, answer.top_scores, strict=True))
        assert [found[label] for label in shared] == pytest.approx(
            [0.7 * parts[0][label] + 0.3 * parts[1][label] for label in shared], abs=2e-4
        )
    benchmark = Benchmark("b", tuple(GoldSentence(one.sentence, one.gold) for one in both))
    space = label_space_of_rows(labels, labels, "")
    ranking = SkillRanking(ValidationSet((benchmark,), (), 0), space, load_metric(), k=5, token_share=0.7)
    model = SentenceTransformer(str(place_of_both / "model"), device="cpu")
    assert ranking(model)["rp@5_b"] == pytest.approx(record.benchmarks[0].metrics["rp@5"].value, abs=1e-6)


def test_an_export_scores_as_the_model_does(place):
    export_onnx(SentenceTransformer(str(place / "model"), device="cpu"), place / "model")
    record, exported = score(place, "--backend", "onnx")
    assert (record.system.kind, record.system.settings["backend"]) == ("token-matching", "onnx")
    _, own = score(place)
    for one, other in zip(exported, own, strict=True):
        assert one.top_scores == pytest.approx(other.top_scores, abs=2e-4)


def test_cosine_is_had_when_asked_for_and_differs(place):
    _, by_tokens = score(place)
    record, by_cosine = score(place, "--score", "cosine")
    assert record.system.kind == "sentence-transformer"
    assert by_tokens[0].top_scores != pytest.approx(by_cosine[0].top_scores, abs=1e-3)


def test_padding_counts_for_nothing(place):
    """A short sentence scores the same alone as beside a long one, whose length pads it."""
    names = SkillNames(labels=tuple(tiny_labels()), source="", version="")
    system = open_encoder(str(place / "model"), EncoderOptions()).system
    system.index(names)
    long = "we need you to bake bread and weld steel and write code in the team " * 3
    assert system.scores(["audit tax", long])[0] == pytest.approx(system.scores(["audit tax"])[0], abs=1e-5)
