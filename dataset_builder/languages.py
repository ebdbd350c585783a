"""Languages: their names, and whether a text is surely in another than the expected one, by py3langid (97 of them)."""

from __future__ import annotations

import tempfile
from functools import lru_cache
from typing import Any

from dataset_builder.contract import StageError

# The languages that ESCO is published in.
NAMES = dict(
    part.split(":")
    for part in (
        "ar:Arabic bg:Bulgarian cs:Czech da:Danish de:German el:Greek en:English es:Spanish et:Estonian fi:Finnish "
        "fr:French ga:Irish hr:Croatian hu:Hungarian is:Icelandic it:Italian lt:Lithuanian lv:Latvian mt:Maltese "
        "nl:Dutch no:Norwegian pl:Polish pt:Portuguese ro:Romanian sk:Slovak sl:Slovenian sv:Swedish uk:Ukrainian"
    ).split()
)
# Others, for taxonomies of one's own.
OTHER_NAMES = dict(
    part.split(":")
    for part in (
        "az:Azerbaijani bn:Bengali bs:Bosnian ca:Catalan cy:Welsh eu:Basque fa:Persian gl:Galician he:Hebrew hi:Hindi "
        "hy:Armenian id:Indonesian ja:Japanese ka:Georgian kk:Kazakh km:Khmer ko:Korean lb:Luxembourgish lo:Lao "
        "mk:Macedonian ms:Malay mn:Mongolian ru:Russian sq:Albanian sr:Serbian sw:Swahili ta:Tamil te:Telugu th:Thai "
        "tl:Tagalog tr:Turkish ur:Urdu uz:Uzbek vi:Vietnamese zh:Chinese"
    ).split()
)
MIN_CHARACTERS = 20
SURE = 0.6


def name_of(language: str) -> str:
    """English name of a language by its two letters, for prompts."""
    return (NAMES | OTHER_NAMES).get(language, f"the language with the code {language!r}")


@lru_cache(maxsize=1)
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    try:
        return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    except OSError as error:
        raise StageError(
            f"the model of py3langid cannot be unpacked in {tempfile.gettempdir()} ({error.strerror or error})",
            "Free some space there, or name another folder in TMPDIR",
        ) from error


def prepare_languages() -> None:
    """Load what `is_foreign` needs: half a second that it takes at its first call otherwise.

    Raises:
        StageError: the folder of temporary files has no room for it.
    """
    _known()


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
