"""Settings of a sentence-transformers folder -> how the vectors of a text's tokens become one vector."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from skill_index import SkillFinderError, Vectors, whole

_READ = ("Transformer", "Pooling", "Normalize")
_OLD_SETTING = re.compile(r"pooling_mode_(.+?)(?:_tokens?)?")


def pools_first_token(folder: Path) -> bool:
    """Whether a text's vector is that of its first token; else it is the mean over its tokens.

    Raises:
        SkillFinderError: it is neither, or another module follows, such as Dense.
    """
    file = folder / "modules.json"
    with whole(file):
        kinds = [str(module["type"]).rpartition(".")[2] for module in _settings(file, [])]
    others = [kind for kind in kinds if kind not in _READ]
    if others:
        raise SkillFinderError(
            f"{folder} has a module {others[0]}, which is not read from ONNX: take the backend torch"
        )
    file = folder / "1_Pooling" / "config.json"
    with whole(file):
        config = dict(_settings(file, {}))
    old = [found[1] for key, value in config.items() if value is True and (found := _OLD_SETTING.fullmatch(key))]
    modes = config.get("pooling_mode") or old or "mean"
    name = modes if isinstance(modes, str) else " and ".join(map(str, modes))
    if name not in ("cls", "mean"):
        raise SkillFinderError(f"{folder} pools by {name}, which is not read from ONNX: take the backend torch")
    return name == "cls"


def mean_of_tokens(tokens: Vectors, mask: Any) -> Vectors:
    """Mean over real tokens. tokens: (sentences, tokens, dimensions); mask: (sentences, tokens)."""
    weights = mask[:, :, None].astype(np.float32)
    mean: Vectors = (tokens * weights).sum(axis=1) / weights.sum(axis=1)
    return mean


def _settings(file: Path, default: Any) -> Any:
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else default
