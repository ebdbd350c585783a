"""Text -> whether it is surely in another language than the one expected, by py3langid (97 languages)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

MIN_CHARACTERS = 20
SURE = 0.6


@lru_cache(maxsize=1)
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


@lru_cache(maxsize=1 << 18)
def is_foreign(text: str, language: str) -> bool:
    """Whether `text` is in another language than `language` (two letters) with a probability of at least SURE.

    Short texts, and languages that the library does not know, are never foreign: a wrong alarm costs a good line.
    """
    if len(text) < MIN_CHARACTERS or language not in _known():
        return False
    found, probability = _identifier().classify(text)
    return bool(found != language and probability >= SURE)


@lru_cache(maxsize=1)
def _known() -> frozenset[str]:
    return frozenset(_identifier().labels)
