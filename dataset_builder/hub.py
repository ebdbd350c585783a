"""Names on the Hub -> repository ids: what each artifact is called, and which names are Hub ids at all."""

from __future__ import annotations

import re

# What cards and snippets say where the publisher's name will stand; publishing puts the real one in.
NAMESPACE = "NAMESPACE"
DATASET_REPO = "synthetic-esco-skill-sentences"
MODEL_REPO = "esco-skill-biencoder"
METRIC_REPO = "r_precision_at_k"
SPACE_REPO = "esco-skill-finder"

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def is_hub_id(name: str) -> bool:
    """Whether a source's name reads as `namespace/name` and not as a folder."""
    return _HUB_ID.fullmatch(name) is not None


def tag_of(version: str) -> str:
    """The tag of a version: "1.0.0" -> "v1.0.0"."""
    return f"v{version.removeprefix('v')}"
