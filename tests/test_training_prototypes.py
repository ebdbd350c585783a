"""Names that are moved to prototypes: the formulas against slow ones, and what a run makes of names and other texts."""

import csv
import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dataset_builder.contract import StageError
from space.encoders import token_share_of
from tests.tiny_encoder import tiny_labels, write_tiny_encoder
from tests.tiny_runs import RECIPE, STAGE, command, equal, write_place
from training import prototypes
from training.base_model import open_encoder
from training.pair_sources import TrainingPair
from training.prototypes import KEEP_WEIGHT, SOURCE_WEIGHT, PrototypeLoss, prototypes_of, read_or_make_prototypes
from training.recipe import Loss, recipe_from_dict
from training.run_record import TrainingRecord
from training.train import main

LABELS = ["bake bread", "weld steel", "teach law"]
PAIRS = [
    TrainingPair("make bread", 0, (0,), "alternative_labels"),
    TrainingPair("you bake", 0, (0,), "alternative_labels"),
    TrainingPair("We bake bread in the team", 0, (0,), "synthetic"),
    TrainingPair("Weld our steel", 1, (1, 0), "synthetic"),
    TrainingPair("Of law we know", 2, (2,), "pseudo_labels"),  # kept in its place, and no part of a prototype
]
MOVE = {
    "name": "names",
    "sources": {"synthetic": {}},
    "epochs": 40,
    "batch_size": 8,
    "learning_rate": 0.003,
    "loss": {"name": "prototypes"},
}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory):
    return open_encoder(write_tiny_encoder(tmp_path_factory.mktemp("encoder"), dropout=0.1)).eval()


def vector(encoder, text: str) -> np.ndarray:
    return np.asarray(encoder.encode([text], show_progress_bar=False)[0], dtype=np.float64)


def unit(values: np.ndarray) -> np.ndarray:
    return values / math.sqrt((values * values).sum())


def slow_prototype(encoder, skill: int) -> np.ndarray:
    name = vector(encoder, LABELS[skill])
    total = unit(name)
    for source in ("alternative_labels", "synthetic"):
        texts = [pair.text for pair in PAIRS if pair.source == source and pair.skill == skill]
        if texts:
            total = total + SOURCE_WEIGHT * sum(unit(vector(encoder, text)) for text in texts) / len(texts)
    return unit(total) * math.sqrt((name * name).sum())


def test_prototypes_are_the_slow_ones(encoder):
    found = prototypes_of(encoder, LABELS, PAIRS, "fp32").numpy()
    for skill in range(3):
        assert found[skill] == pytest.approx(slow_prototype(encoder, skill), abs=1e-5)
    assert found[2] == pytest.approx(vector(encoder, "teach law"), abs=1e-5)  # of which no such text speaks


def test_an_interrupted_run_reads_what_it_made(encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    first = read_or_make_prototypes(encoder, LABELS, PAIRS, "fp32", tmp_path / "stage")
    monkeypatch.setattr(prototypes, "prototypes_of", lambda *_: pytest.fail("made again"))
    assert torch.equal(first, read_or_make_prototypes(encoder, LABELS, PAIRS, "fp32", tmp_path / "stage"))


def loss_parts(encoder, tmp_path: Path, chunk_size: int = 0):
    """The loss of an encoder that has moved away from the one that it began as, and its batch."""
    other = open_encoder(write_tiny_encoder(tmp_path / "other", dropout=0.1, seed=1))
    wanted = prototypes_of(encoder, LABELS, PAIRS, "fp32")
    texts = sorted((pair.text for pair in PAIRS), key=len)
    skills = [next(pair.skill for pair in PAIRS if pair.text == text) for text in texts]
    features = [dict(encoder.preprocess(texts)), dict(encoder.preprocess([LABELS[skill] for skill in skills]))]
    module = PrototypeLoss(other.train(), open_encoder(tmp_path / "start"), wanted, chunk_size)
    return module, features, torch.tensor([[skill, 9] for skill in skills]), texts, skills, wanted.numpy()


def gap(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(((found - wanted) ** 2).sum() / (wanted**2).sum())


@pytest.mark.parametrize("chunk_size", [0, 1, 3])
def test_the_loss_is_the_slow_one_without_dropout_whatever_the_chunks(encoder, tmp_path: Path, chunk_size: int):
    write_tiny_encoder(tmp_path / "start", dropout=0.1)
    module, features, labels, texts, skills, wanted = loss_parts(encoder, tmp_path, chunk_size)
    found = module(features, labels).item()
    assert module.model.training  # as it was

    now = module.model.eval()
    names = [gap(vector(now, LABELS[skill]), wanted[skill]) for skill in skills]
    moved = [gap(vector(now, text), vector(encoder, text)) for text in texts]
    tokens = [
        gap(one.numpy(), two.numpy())
        for text in texts
        for one, two in zip(
            *(of.encode([text], output_value="token_embeddings")[0] for of in (now, encoder)), strict=True
        )
    ]
    mean = [sum(part) / len(part) for part in (names, moved, tokens)]
    assert found == pytest.approx(mean[0] + KEEP_WEIGHT * (mean[1] + mean[2]), rel=1e-4)


def test_the_gradient_is_that_of_finite_differences(encoder, tmp_path: Path):
    write_tiny_encoder(tmp_path / "start", dropout=0.1)
    module, features, labels, *_ = loss_parts(encoder, tmp_path)
    weight = module.model.get_parameter("0.auto_model.encoder.layer.0.output.LayerNorm.bias")
    module(features, labels).backward()
    place = int(weight.grad.abs().argmax())
    found, step, values = float(weight.grad[place]), 1e-2, []
    for shift in (step, -2 * step):
        with torch.no_grad():
            weight[place] += shift
        values.append(module(features, labels).item())
    assert found == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-2)
    assert all(one.grad is None for one in module._start[0].parameters())
    assert all(not name.startswith("_start") for name, _ in module.named_parameters())


def test_a_run_moves_names_and_leaves_other_texts(tmp_path: Path):
    place = write_place(tmp_path)
    recipe = {**RECIPE, "stages": [MOVE]}
    main(command(place, "moved", recipe, "--validation", str(place / "benchmarks")))
    start, moved = (open_encoder(place / name).eval() for name in ("encoder", "moved"))
    with (place / "dataset.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    labels = tiny_labels()
    pairs = [TrainingPair(row["sentence"], labels.index(row["skill"]), (), "synthetic") for row in rows]
    wanted = prototypes_of(start, labels, pairs, "fp32").numpy()

    before, after = (
        np.mean([gap(vector(one, name), to) for name, to in zip(labels, wanted, strict=True)]) for one in (start, moved)
    )
    drift = np.mean([gap(vector(moved, row["sentence"]), vector(start, row["sentence"])) for row in rows])
    assert after < before / 3
    assert drift < before / 3

    assert TrainingRecord.load(place / "moved").token_share == 0.3
    assert token_share_of(place / "moved") == 0.3
    assert "Normalize" not in {type(module).__name__ for module in moved}


def test_as_a_second_stage_and_the_same_again(tmp_path: Path):
    place = write_place(tmp_path)
    recipe = {**RECIPE, "stages": [{**STAGE, "epochs": 1}, {**MOVE, "epochs": 2}]}
    for out in ("one", "two"):
        main(command(place, out, recipe, "--keep-checkpoints"))
    assert equal(place / "one", place / "two")
    kept = load_file(place / "one/checkpoints/2-names/prototypes.safetensors")["prototypes"]
    first = open_encoder(place / "one/checkpoints/1-sentences/model").eval()
    assert kept[0].norm().item() == pytest.approx(np.linalg.norm(vector(first, tiny_labels()[0])), rel=1e-4)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"loss": {"name": "prototypes", "mask": ["near"]}}, "no negatives, so no mask"),
        ({"loss": {"name": "prototypes", "several_positives": True}}, "no negatives, so no mask"),
        ({"loss": {"name": "prototypes", "mini_batch": 8}}, "goes with none of symmetric"),
        ({"negatives": {"kind": "mined", "count": 2}}, "no negatives, got negatives.count 2"),
        ({"sources": {"skillskape": {}}}, "made of alternative_labels or synthetic"),
        ({"sources": {"synthetic": {}, "labels": {}}}, "leave out labels"),
    ],
)
def test_what_needs_negatives_is_refused(change: dict, said: str):
    with pytest.raises(StageError, match=said):
        recipe_from_dict({**RECIPE, "stages": [{**MOVE, **change}]})


def test_masks_that_nobody_asked_for_are_none():
    assert dataclasses.replace(Loss(name="prototypes"), mask=()).token_share == 0.3
