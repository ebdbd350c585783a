"""Texts and an encoder -> one vector a text, in batches of texts with like numbers of tokens.

Little of such a batch is padding: ESCO's names take 86,000 tokens this way instead of the 123,000 that sorting by
characters takes. Every vector is written to its place at once, so that nothing but the result grows with the number of
texts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from eval.ranking import Floats

LONG = 2_000
_TOKENIZED_AT_ONCE = 10_000


def encode_in_batches(
    encode: Callable[[list[str]], Floats], texts: Sequence[str], lengths: npt.NDArray[np.int64], batch_size: int
) -> Floats:
    """Encode texts, each one once, however often it occurs.

    Args:
        encode: a batch of texts -> (batch, d).
        texts: in any order, one at least.
        lengths: (texts,) what each costs, such as its number of tokens.
        batch_size: texts a batch.

    Returns:
        (texts, d) float32, in the order of `texts`.

    Raises:
        ValueError: there is no text.
    """
    if not texts:
        raise ValueError("there are no texts to encode")
    places: dict[str, int] = {}
    first = np.array([places.setdefault(text, place) for place, text in enumerate(texts)])
    different = np.array(list(places.values()))
    # The longest first: when memory does not suffice, that shows at once.
    order = different[np.argsort(-lengths[different], kind="stable")]
    vectors: Floats = np.empty((0, 0), dtype=np.float32)
    starts = range(0, len(order), batch_size)
    for start in tqdm(starts, desc="encoding", unit="batch", disable=len(order) <= LONG, leave=False):
        batch = order[start : start + batch_size]
        found = encode([texts[place] for place in batch])
        if start == 0:
            vectors = np.empty((len(texts), found.shape[1]), dtype=np.float32)
        vectors[batch] = found
    for place in np.flatnonzero(first != np.arange(len(texts))):
        vectors[place] = vectors[first[place]]
    return vectors


def token_counts(model: Any, texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """Tokens of each text by the model's tokenizer; characters where the model has none of a known kind."""
    tokenizer: Any = getattr(model, "tokenizer", None)
    if not getattr(tokenizer, "is_fast", False):
        return np.array([len(text) for text in texts], dtype=np.int64)
    counts: list[int] = []
    for start in range(0, len(texts), _TOKENIZED_AT_ONCE):
        some = list(texts[start : start + _TOKENIZED_AT_ONCE])
        found = tokenizer(some, truncation=True, max_length=model.max_seq_length, return_attention_mask=False)
        counts += map(len, found["input_ids"])
    return np.array(counts, dtype=np.int64)
