"""Tokenised texts -> batches of like length: what is padded is computed for nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from skill_index import Vectors

MOST_TEXTS = 128
# Of long texts fewer go together: the layers of a batch of 4,096 tokens take some 60 MB.
MOST_TOKENS = 4096


class Encoding(Protocol):
    """What the tokenizers library makes of one text."""

    @property
    def ids(self) -> list[int]:
        """Numbers of its tokens, without padding."""


@dataclass(frozen=True)
class TokenBatch:
    """Texts encoded together. `ids`, `mask`: (texts, tokens), int64, the mask 1 for a token and 0 for padding."""

    ids: NDArray[np.int64]
    mask: NDArray[np.int64]


@dataclass(frozen=True)
class SpanBatch:
    """Vectors of some texts, (texts, dimensions), as the model pools them, and of the tokens of each; their numbers."""

    numbers: list[int]
    vectors: Vectors
    tokens: list[Vectors]


EncodeSpans = Callable[[list[str]], Iterator[SpanBatch]]


def batches_by_length(encodings: Sequence[Encoding], padding_id: int) -> Iterator[tuple[list[int], TokenBatch]]:
    """Yield (numbers of texts, their batch), texts of the fewest tokens first."""
    order = sorted(range(len(encodings)), key=lambda i: len(encodings[i].ids))
    lengths = [len(encodings[i].ids) for i in order]
    start = 0
    while start < len(order):
        end = min(start + MOST_TEXTS, len(order))
        while end > start + 1 and (end - start) * lengths[end - 1] > MOST_TOKENS:
            end -= 1
        ids = np.full((end - start, lengths[end - 1]), padding_id, np.int64)
        for row, i, length in zip(ids, order[start:end], lengths[start:end], strict=True):
            row[:length] = encodings[i].ids
        mask = np.arange(ids.shape[1]) < np.array(lengths[start:end])[:, None]
        yield order[start:end], TokenBatch(ids, mask.astype(np.int64))
        start = end


def read_spans(
    encodings: Sequence[Encoding], padding_id: int, run: Callable[[TokenBatch], tuple[Vectors, Vectors]]
) -> Iterator[SpanBatch]:
    """Vectors of tokenised texts and of their tokens, a batch after the other.

    Args:
        encodings: the texts.
        padding_id: token that fills up the shorter texts of a batch.
        run: the encoder: a batch -> (texts, dimensions) and (texts, tokens, dimensions).
    """
    for numbers, batch in batches_by_length(encodings, padding_id):
        vectors, tokens = run(batch)
        counts = batch.mask.sum(axis=1)
        yield SpanBatch(numbers, vectors, [of_text[:count] for of_text, count in zip(tokens, counts, strict=True)])


def span_vectors(encode_spans: EncodeSpans, texts: list[str]) -> Vectors:
    """The vectors alone, (texts, dimensions), in the order of the texts; there is one at least."""
    found = {i: row for batch in encode_spans(texts) for i, row in zip(batch.numbers, batch.vectors, strict=True)}
    return np.stack([found[i] for i in range(len(texts))])
