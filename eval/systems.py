"""The name of a system on the command line -> the system and the facts about it.

FOLDER or HUB_ID[@REVISION]       a SentenceTransformer, with token-level matching where its folder says so
literal, tfidf-words, tfidf-words-alt, tfidf-chars, tfidf-chars-alt, bm25
fusion:A+B, fusion:0.6*A+0.4*B    weighted z-scores of two or more of the others
python:MODULE:NAME                your own: NAME() gives an object with `name`, `index` and `scores`
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass

from dataset_builder.contract import StageError
from eval.baselines import Bm25, Fusion, LiteralMatch, TfIdf
from eval.encoders import EncoderOptions, open_encoder
from eval.ranking import System
from eval.results import SystemInfo

LEXICAL: dict[str, Callable[[], System]] = {
    "literal": LiteralMatch,
    "tfidf-words": lambda: TfIdf("words"),
    "tfidf-words-alt": lambda: TfIdf("words", alternative=True),
    "tfidf-chars": lambda: TfIdf("chars"),
    "tfidf-chars-alt": lambda: TfIdf("chars", alternative=True),
    "bm25": Bm25,
}
_PART = re.compile(r"(?:(\d+(?:\.\d+)?)\*)?(.+)")


@dataclass(frozen=True)
class OpenedSystem:
    """A system, the facts about it, and the folds of skills its training did not see, where it is known."""

    system: System
    info: SystemInfo
    held_out_folds: tuple[int, ...] = ()


def open_system(spec: str, options: EncoderOptions, name: str = "") -> OpenedSystem:
    """Open a system by its name on the command line.

    Args:
        spec: as in the module's first lines.
        options: how to run a model.
        name: how to call it in tables; from the spec when empty.

    Raises:
        StageError: no such folder, not a model, or a wrong spec.
    """
    if spec in LEXICAL:
        system = LEXICAL[spec]()
        system.name = name or spec
        return OpenedSystem(system, _info(system.name, "lexical", spec))
    if spec.startswith("fusion:"):
        return _open_fusion(spec, options, name)
    if spec.startswith("python:"):
        system = _from_python(spec)
        return OpenedSystem(system, _info(name or system.name, "python", spec))
    model = open_encoder(spec, options, name)
    return OpenedSystem(model.system, model.info, model.held_out_folds)


def _open_fusion(spec: str, options: EncoderOptions, name: str) -> OpenedSystem:
    parts = [_PART.fullmatch(part.strip()) for part in spec.removeprefix("fusion:").split("+")]
    found = [(float(part[1] or 1), part[2]) for part in parts if part]
    if len(found) < 2 or len(found) < len(parts):
        raise StageError(f"{spec} does not name two systems", "Write fusion:A+B or fusion:0.6*A+0.4*B")
    opened = [open_system(inner, options) for _, inner in found]
    system = Fusion([part.system for part in opened], [weight for weight, _ in found])
    system.name = name or system.name
    settings = {
        f"part {number}": f"{weight:g} * {part.info.source} ({part.info.weights_sha256 or part.info.kind})"
        for number, ((weight, _), part) in enumerate(zip(found, opened, strict=True), start=1)
    }
    return OpenedSystem(system, _info(system.name, "fusion", system.name, settings))


def _from_python(spec: str) -> System:
    module, _, factory = spec.removeprefix("python:").partition(":")
    try:
        system: System = getattr(importlib.import_module(module), factory)()
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        remedy = "Write python:MODULE:NAME, where NAME() gives a system"
        raise StageError(f"{spec} cannot be loaded ({error})", remedy) from error
    for needed in ("name", "index", "scores"):
        if not hasattr(system, needed):
            raise StageError(f"{spec} has no {needed!r}", "A system has name, index(names) and scores(sentences)")
    if not isinstance(system.name, str) or not system.name:
        raise StageError(f"{spec} has the name {system.name!r}, and must have text")
    return system


def _info(name: str, kind: str, source: str, settings: dict[str, str] | None = None) -> SystemInfo:
    return SystemInfo(
        name=name,
        kind=kind,
        source=source,
        revision=None,
        weights_sha256=None,
        training_record_sha256=None,
        dataset=None,
        dataset_version=None,
        model_version=None,
        settings=settings or {},
    )
