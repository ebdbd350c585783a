"""An encoder and a recipe's `max_tokens` -> what turns texts into token tensors, none longer than that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Tokens = dict[str, Any]


def preprocess_of(encoder: Any, max_tokens: int) -> Callable[[list[str]], Tokens]:
    """The encoder's own, cut at `max_tokens` or where the encoder cuts, whichever is less."""
    limit = min(max_tokens, encoder.max_seq_length or max_tokens)

    def preprocess(texts: list[str]) -> Tokens:
        tokens: Tokens = encoder.preprocess(texts, max_length=limit)
        # A table of token vectors has no length, and the library's own heeds no limit.
        return cut(tokens, limit) if "offsets" in tokens else tokens

    return preprocess


def cut(tokens: Tokens, limit: int) -> Tokens:
    """The first `limit` tokens of every text, where texts stand one after another.

    Args:
        tokens: `input_ids` (tokens of all texts) and `offsets` (texts), where each text begins.
        limit: most tokens of a text.
    """
    ids, offsets = tokens["input_ids"], tokens["offsets"]
    lengths: Tensor = torch.diff(offsets, append=offsets.new_tensor([len(ids)]))
    places = torch.arange(len(ids)) - offsets.repeat_interleave(lengths)
    kept = lengths.clamp(max=limit)
    return {**tokens, "input_ids": ids[places < limit], "offsets": kept.cumsum(0) - kept}
