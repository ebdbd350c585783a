"""The files of sentences that a recipe trains on -> their hashes and, of pseudo-labels, the teacher: for the record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dataset_builder.contract import sha256_of_file
from training.run_record import ModelSource


def hashes_of(files: Mapping[str, str]) -> dict[str, str]:
    """SHA-256 of each file by the same name; a Hub id has none."""
    return {name: sha256_of_file(path) for name, path in files.items() if Path(path).is_file()}


def teacher_of(pseudo_labels: str | Path) -> ModelSource | None:
    """The model that labelled a CSV, as the JSON of training.pseudo_labels beside it says; None where none says so."""
    path = Path(pseudo_labels)
    about = _about(path.with_suffix(".json"))
    if not path.is_file() or about.get("sha256") not in (None, sha256_of_file(path)):
        return None  # it tells of another CSV, written over since
    try:
        return ModelSource.model_validate(about.get("teacher"))
    except ValidationError:
        return None


def _about(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
