"""Texts -> what labels score for them: by the cosine of whole texts, or, for models trained so, token by token.

Token-level score (ConTeXT-match): with h_1..h_L a text's token vectors and s a label's, a = softmax over i of <h_i, s>,
and score = sum over i of a_i cos(h_i, s). A model that was trained for both is scored by both, each by its share.
Tokens are compared with the labels nearest by cosine alone: further ones do not change the best few, and all would take
longer than encoding.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from blas_threads import one_blas_thread
from skill_index import Encoder, SkillIndex, Vectors, normalised
from token_batches import EncodeSpans

NEAREST = 100
# Passages that come again ("We offer:"): 50,000 vectors of 384 are 77 MB.
READINGS_KEPT = 50_000
# Less than any score: a label that is not among the nearest.
NOT_NEAR = np.float32(-1.0)


@dataclass(frozen=True)
class Reading:
    """What an encoder makes of one text.

    `vector`: (dimensions,), of length one. Where labels are scored by tokens, `near`: numbers of the nearest labels,
    and `scores`: theirs.
    """

    vector: Vectors
    near: NDArray[np.int32] | None = None
    scores: Vectors | None = None


class Reader(Protocol):
    """Anything that reads texts."""

    def read(self, texts: list[str]) -> list[Reading]:
        """One reading a text."""


class SpanReader:
    """Reads texts for one index: with scores by tokens where the index has the lengths of its labels.

    Args:
        encoder: gives vectors, and for scores by tokens has `encode_spans`: texts -> batches of them and their tokens,
            and `token_share`, the share of these scores where it is not all, the rest being the cosine.
        index: the labels.
        near: how many labels, the nearest by cosine, are scored by tokens; None takes NEAREST.
    """

    def __init__(self, encoder: Encoder, index: SkillIndex, near: int | None = None) -> None:
        self._encoder = encoder
        self._index = index
        self._near = NEAREST if near is None else near

    def read(self, texts: list[str]) -> list[Reading]:
        """One reading a text."""
        if not texts:
            return []
        encode_spans: EncodeSpans | None = getattr(self._encoder, "encode_spans", None)
        if self._index.lengths is None or encode_spans is None:
            return [Reading(vector) for vector in normalised(self._encoder.encode(texts))]
        share: float = getattr(self._encoder, "token_share", 1.0)
        found: dict[int, Reading] = {}
        with one_blas_thread():
            for batch in encode_spans(texts):
                vectors = normalised(batch.vectors)
                cosines = vectors @ self._index.vectors.T
                for i, vector, row, tokens in zip(batch.numbers, vectors, cosines, batch.tokens, strict=True):
                    near = nearest(row, self._near)
                    labels = self._index.vectors[near] * self._index.lengths[near, None]
                    found[i] = Reading(vector, near, share * token_scores(tokens, labels) + (1 - share) * row[near])
        return [found[i] for i in range(len(texts))]


class RememberingReader:
    """A reader that keeps what it read last: ads of one company share half their sentences."""

    def __init__(self, reader: Reader, kept: int = READINGS_KEPT) -> None:
        self._reader = reader
        self._kept = kept
        self._known: OrderedDict[str, Reading] = OrderedDict()
        self.encoded = 0

    def read(self, texts: list[str]) -> list[Reading]:
        """One reading a text; only new ones are encoded."""
        fresh = [text for text in dict.fromkeys(texts) if text not in self._known]
        made = dict(zip(fresh, self._reader.read(fresh), strict=True))
        self.encoded += len(fresh)
        result = [made[text] if text in made else self._known[text] for text in texts]
        for text in texts:
            if text in made:
                self._known[text] = _alone(made[text])
            self._known.move_to_end(text)
        while len(self._known) > self._kept:
            self._known.popitem(last=False)
        return result


def _alone(reading: Reading) -> Reading:
    """The same without what it was cut from: a row of a batch would keep the whole batch."""
    return Reading(reading.vector.copy(), reading.near, reading.scores)


def scores_of(readings: Sequence[Reading], index: SkillIndex) -> Vectors:
    """Score of every label for every text, (texts, labels); by tokens, a label that is not near has `NOT_NEAR`."""
    if readings[0].near is None:
        cosines: Vectors = np.stack([reading.vector for reading in readings]) @ index.vectors.T
        return cosines
    # The reader has compared them with every label already.
    scores = np.full((len(readings), len(index.skills)), NOT_NEAR, dtype=np.float32)
    for row, reading in zip(scores, readings, strict=True):
        row[reading.near] = reading.scores
    return scores


def nearest(row: Vectors, count: int) -> NDArray[np.int32]:
    """Numbers of the `count` highest scores in the order of the labels."""
    if len(row) <= count:
        return np.arange(len(row), dtype=np.int32)
    return np.sort(np.argpartition(-row, count)[:count]).astype(np.int32)


def token_scores(tokens: Vectors, labels: Vectors) -> Vectors:
    """Token-level score of one text with each label, from -1 to 1.

    Args:
        tokens: (tokens, dimensions), padding left out.
        labels: (labels, dimensions), as the model pools them, not normalised.
    """
    products = tokens @ labels.T
    attention = np.exp(products - products.max(axis=0))
    attention /= attention.sum(axis=0)
    lengths = np.linalg.norm(tokens, axis=1)[:, None] * np.linalg.norm(labels, axis=1)
    scores: Vectors = (attention * products / np.maximum(lengths, 1e-12)).sum(axis=0, dtype=np.float32)
    return scores
