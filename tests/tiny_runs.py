"""Runs of a tiny encoder: a place with what they need, a recipe, the command, and whether two models are the same."""

from pathlib import Path

import torch
import yaml
from safetensors.torch import load_file

from tests.tiny_encoder import write_tiny_benchmark, write_tiny_dataset, write_tiny_encoder

STAGE = {
    "name": "sentences",
    "sources": {"synthetic": {}},
    "epochs": 2,
    "batch_size": 8,
    "learning_rate": 0.001,
    "loss": {"name": "masked_mnrl"},
    "augmentation": {"join": 0.5, "bullet": 0.2},
}
RECIPE = {"name": "tiny", "seed": 3, "precision": "fp32", "log_every": 1, "stages": [STAGE]}


def write_place(folder: Path) -> Path:
    """A folder with a tiny encoder (with dropout), dataset and benchmark."""
    write_tiny_encoder(folder / "encoder", dropout=0.1)
    write_tiny_dataset(folder / "dataset.csv")
    write_tiny_benchmark(folder / "benchmarks")
    return folder


def command(place: Path, out: str, recipe: dict, *more: str) -> list[str]:
    path = place / f"{out}.yaml"
    path.write_text(yaml.safe_dump(recipe))
    inputs = ["--dataset", place / "dataset.csv", "--base-model", place / "encoder", "--out", place / out]
    return [str(value) for value in ["--recipe", path, *inputs, "--threads", 1, *more]]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def equal(one: Path, two: Path) -> bool:
    first, second = weights(one), weights(two)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
