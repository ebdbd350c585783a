"""The text of --extra-body -> further fields of each request's JSON, for servers that want other ones."""

from __future__ import annotations

import json
from typing import Any

from dataset_builder.contract import StageError

TOKEN_BOUNDS = ("max_tokens", "max_completion_tokens")  # of a reply, by two names


def read_extra_body(text: str | None) -> dict[str, Any] | None:
    """The fields, or None where the option was not given.

    Raises:
        StageError: the text is no JSON object, or a reply's bound in it is no number of tokens.
    """
    if text is None:
        return None
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise StageError(f"--extra-body is not JSON ({error})") from None
    if not isinstance(values, dict):
        raise StageError("--extra-body must be a JSON object")
    for name in TOKEN_BOUNDS:
        bound = values.get(name)
        if bound is not None and (not isinstance(bound, int) or bound < 1):
            raise StageError(f"--extra-body: {name} must be a whole number from 1 on, or null, got {bound!r}")
    return values
