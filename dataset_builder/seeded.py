"""Text -> a number that depends on that text alone: choices that are the same on every machine and in every order."""

from __future__ import annotations

import hashlib


def stable_number(text: str) -> int:
    """The first 64 bits of the text's SHA-256."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:8], "big")
