"""What a label index of prototypes says of itself, in its file's metadata and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Fit:
    """How label vectors were moved towards labelled sentences (`model_card.label_fit`).

    `sentences`: how many of the dataset; `labelled`: how many of other files, whose SHA-256 by name `files` are, "" of
    a Hub dataset.
    """

    sentences: int
    labelled: int
    files: dict[str, str]
    epochs: int
    learning_rate: float
    scale: float
    near: float
    batch_size: int
    seed: int


@dataclass(frozen=True)
class Prototypes:
    """What label vectors were made of beside names: weights of the means of other names and of sentences.

    `dataset` and `dataset_version` name whose sentences, at most `per_skill` a skill; `rows_sha256` is the hash of its
    training rows. `fit` says how they were moved afterwards. The weights stay as they are: what changes is the
    model's version, to the dataset's.
    """

    alternative_labels: float
    sentences: float
    per_skill: int
    dataset: str
    dataset_version: str
    rows_sha256: str = ""
    fit: Fit | None = None


def version_with(prototypes: Prototypes | None, trained: str) -> str:
    """The version of a model: its training's, but for prototypes, which make a new one of the same weights."""
    return prototypes.dataset_version if prototypes else trained


def prototypes_metadata(prototypes: Prototypes) -> dict[str, str]:
    """What it is, and for who reads no more than a name and a version of an index, those."""
    return {
        "prototypes": json.dumps(asdict(prototypes), sort_keys=True),
        "model_version": version_with(prototypes, ""),
    }


def read_prototypes(metadata: Mapping[str, str]) -> Prototypes | None:
    """What metadata say of prototypes; None where they say nothing.

    Raises:
        ValueError, KeyError, TypeError: they are damaged.
    """
    if "prototypes" not in metadata:
        return None
    values = json.loads(metadata["prototypes"])
    return Prototypes(**{**values, "fit": Fit(**values["fit"]) if values.get("fit") else None})
