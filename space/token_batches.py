"""Tokenised texts -> batches of like length: what is padded is computed for nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skill_index import Vectors

MOST_TEXTS = 128
# Of long texts fewer go together: the widest layer of a MiniLM takes 25 MB for so many tokens.
MOST_TOKENS = 4096
# What the tokenizer makes of a text takes more memory than its vector, so it is not made of all texts at once.
TOKENISED_AT_ONCE = 4096


@dataclass(frozen=True)
class TokenBatch:
    """Texts encoded together.

    `numbers`: which texts; `encodings`: what the tokenizer made of them; `ids`, `mask`: (texts, tokens), int64, the
    mask 1 for a token and 0 for padding.
    """

    numbers: list[int]
    encodings: list[Any]
    ids: NDArray[np.int64]
    mask: NDArray[np.int64]


@dataclass(frozen=True)
class SpanBatch:
    """Vectors of some texts, (texts, dimensions), as the model pools them, and of the tokens of each; their numbers."""

    numbers: list[int]
    vectors: Vectors
    tokens: list[Vectors]


Tokenise = Callable[[list[str]], Sequence[Any]]  # texts -> encodings of the tokenizers library, not padded
EncodeSpans = Callable[[list[str]], Iterator[SpanBatch]]


def batches_by_length(texts: Sequence[str], tokenise: Tokenise, padding_id: int) -> Iterator[TokenBatch]:
    """Yield every text once, texts of few tokens first."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for start in range(0, len(order), TOKENISED_AT_ONCE):
        numbers = order[start : start + TOKENISED_AT_ONCE]
        encoding_of = dict(zip(numbers, tokenise([texts[i] for i in numbers]), strict=True))
        left = sorted(numbers, key=lambda i: len(encoding_of[i].ids))
        while left:
            count = min(MOST_TEXTS, len(left))
            while count > 1 and count * len(encoding_of[left[count - 1]].ids) > MOST_TOKENS:
                count -= 1
            together, left = left[:count], left[count:]
            yield _batch(together, [encoding_of[i] for i in together], padding_id)


def _batch(numbers: list[int], encodings: list[Any], padding_id: int) -> TokenBatch:
    lengths = np.array([len(encoding.ids) for encoding in encodings])
    ids = np.full((len(numbers), lengths.max()), padding_id, np.int64)
    for row, encoding in zip(ids, encodings, strict=True):
        row[: len(encoding.ids)] = encoding.ids
    mask = np.arange(ids.shape[1]) < lengths[:, None]
    return TokenBatch(numbers, encodings, ids, mask.astype(np.int64))


def read_spans(
    texts: Sequence[str],
    tokenise: Tokenise,
    padding_id: int,
    run: Callable[[TokenBatch], tuple[Vectors, Vectors]],
) -> Iterator[SpanBatch]:
    """Vectors of texts and of their tokens, a batch after the other.

    Args:
        texts: what to read.
        tokenise: the model's tokenizer.
        padding_id: token that fills up the shorter texts of a batch.
        run: the encoder: a batch -> (texts, dimensions) and (texts, tokens, dimensions).
    """
    for batch in batches_by_length(texts, tokenise, padding_id):
        vectors, tokens = run(batch)
        counts = batch.mask.sum(axis=1)
        own = [of_text[:count] for of_text, count in zip(tokens, counts, strict=True)]
        yield SpanBatch(batch.numbers, vectors, own)


def span_vectors(encode_spans: EncodeSpans, texts: list[str]) -> Vectors:
    """The vectors alone, (texts, dimensions), in the order of the texts; there is one at least."""
    found = {i: row for batch in encode_spans(texts) for i, row in zip(batch.numbers, batch.vectors, strict=True)}
    return np.stack([found[i] for i in range(len(texts))])
