"""Names on the Hub -> repository ids, versions and tags: what each artifact is called everywhere in the project."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from dataset_builder.contract import StageError

# What cards and snippets say where the publisher's name will stand; publishing puts the real one in.
NAMESPACE = "NAMESPACE"
DATASET_REPO = "synthetic-esco-skill-sentences"
MODEL_REPO = "esco-skill-biencoder"
# Models that stand beside it and never take its place.
OTHER_MODEL_REPOS = ("esco-skill-static", "esco-skill-biencoder-mpnet")
METRIC_REPO = "r_precision_at_k"
SPACE_REPO = "esco-skill-finder"

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_VERSION = re.compile(r"v?\d+\.\d+\.\d+")


def is_hub_id(name: str) -> bool:
    """Whether a source's name reads as `namespace/name` and not as a folder."""
    return _HUB_ID.fullmatch(name) is not None


def model_repo(name: str) -> str:
    """The usual repository of a model that training named: its own where it is one of ours, else the main one."""
    return name if name in OTHER_MODEL_REPOS else MODEL_REPO


def tag_of(version: str) -> str:
    """The tag of a version: "1.0.0" -> "v1.0.0".

    Raises:
        StageError: not three numbers.
    """
    if not _VERSION.fullmatch(version):
        raise StageError(f"{version!r} is not a version", "Give three numbers, such as 1.0.0")
    return f"v{version.removeprefix('v')}"


def project_version() -> str:
    """The release's version as pyproject.toml states it: that of everything without a record of its own."""
    path = Path(__file__).resolve().parent.parent / "pyproject.toml"
    return str(tomllib.loads(path.read_text(encoding="utf-8"))["project"]["version"])
