"""The key of the server that is asked: from the environment, and in nothing that is written."""

from __future__ import annotations

import os

from dataset_builder.contract import StageError

KEY_VARIABLE = "OPENAI_API_KEY"
NO_KEY = "not-needed"
MIN_KEY_CHARACTERS = 12  # what is shorter stands in for a key ("EMPTY", "test"), and is a word that replies may hold


def read_key() -> str:
    """The key of the environment without whitespace around it, or NO_KEY where there is none.

    Raises:
        StageError: it holds what no header may: letters beyond ASCII, such as a copied dash, or a line's end.
    """
    key = os.environ.get(KEY_VARIABLE, "").strip() or NO_KEY
    wrong = next((number for number, one in enumerate(key, 1) if not (one.isascii() and one.isprintable())), None)
    if wrong is not None:
        # Not the character itself, nor what is beside it: they are parts of a secret.
        raise StageError(f"{KEY_VARIABLE} holds a character that no key has, at place {wrong}", "Copy the key again")
    return key


def without_key(text: str, key: str) -> str:
    """A reply's text without the key, should the server repeat it; a key too short to be one is left as a word."""
    return text.replace(key, "***") if key != NO_KEY and len(key) >= MIN_KEY_CHARACTERS else text
