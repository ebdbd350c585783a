"""Scores of sentences against all skill names -> top k and the rank of every gold label, in blocks of sentences.

Ties are broken by the order of the label space: of two labels with the same score, the earlier one comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from dataset_builder.benchmark_files import GoldSentence
from dataset_builder.contract import StageError
from eval.label_space import SkillNames

TIE_ORDER = "label space order (the earlier label first)"
BLOCK_BYTES = 256 * 1024 * 1024

Floats = npt.NDArray[np.float32]


class Encoder(Protocol):
    """Anything that turns texts into vectors."""

    def encode(self, sentences: list[str]) -> Floats:
        """Vectors of `sentences`: (n, d) float32."""
        ...


class System(Protocol):
    """Anything that scores sentences against a label space; `index` is called once, before any `scores`."""

    name: str

    def index(self, names: SkillNames) -> None:
        """Take in the label space."""
        ...

    def scores(self, sentences: Sequence[str]) -> Floats:
        """Scores of each sentence against each label: (sentences, labels) float32, higher is better."""
        ...


@dataclass(frozen=True)
class Rankings:
    """What a system said about some sentences.

    `top` (sentences, k) holds places in the label space, best first, and `top_scores` their scores; `gold_ranks`
    holds, for each sentence, the rank (from 1) of each of its gold labels in the order of its labels, None for a label
    that the label space lacks; `gold_scores` the scores alike.
    """

    top: npt.NDArray[np.int64]
    top_scores: Floats
    gold_ranks: tuple[tuple[int | None, ...], ...]
    gold_scores: tuple[tuple[float | None, ...], ...]


def rank_queries(
    system: System, queries: Sequence[GoldSentence], names: SkillNames, depth: int = 100, block_bytes: int = BLOCK_BYTES
) -> Rankings:
    """Rank the whole label space for every query.

    Args:
        system: already indexed.
        queries: sentences with gold labels; a sentence without any gets a top k alone.
        names: the label space that the system indexed.
        depth: how many of the best labels to keep.
        block_bytes: memory for one block of scores; one row at least is taken at a time.

    Raises:
        StageError: scores that are no numbers, of the wrong shape, or not finite.
    """
    if depth < 1:
        raise ValueError(f"depth must be 1 or more, got {depth}")
    depth = min(depth, len(names))
    rows_at_once = max(1, block_bytes // (4 * len(names)))
    tops, top_scores = [], []
    ranks: list[tuple[int | None, ...]] = []
    golds: list[tuple[float | None, ...]] = []
    starts = range(0, len(queries), rows_at_once)
    for start in tqdm(starts, desc="scoring", unit="block", disable=len(starts) < 2, leave=False):
        block = queries[start : start + rows_at_once]
        given = system.scores([query.sentence for query in block])
        scores = checked_scores(given, (len(block), len(names)), system.name)
        for row, query in zip(scores, block, strict=True):
            best = top_of(row, depth)
            tops.append(best)
            top_scores.append(row[best])
            places = [names.position.get(label) for label in query.labels]
            ranks.append(tuple(None if place is None else rank_of(row, place) for place in places))
            golds.append(tuple(None if place is None else float(row[place]) for place in places))
    return Rankings(
        top=np.array(tops, dtype=np.int64).reshape(len(queries), depth),
        top_scores=np.array(top_scores, dtype=np.float32).reshape(len(queries), depth),
        gold_ranks=tuple(ranks),
        gold_scores=tuple(golds),
    )


def top_of(row: Floats, k: int) -> npt.NDArray[np.int64]:
    """Places of the k highest scores of a row, best first, ties by place."""
    if k < len(row):
        smallest = np.partition(row, len(row) - k)[len(row) - k]
        places = np.flatnonzero(row >= smallest)
    else:
        places = np.arange(len(row))
    # Stable, so equal scores stay in order of place.
    return places[np.argsort(-row[places], kind="stable")][:k]


def rank_of(row: Floats, place: int) -> int:
    """Rank, from 1, of one place of a row: higher scores come before it, and equal ones at earlier places."""
    score = row[place]
    return 1 + int(np.count_nonzero(row > score)) + int(np.count_nonzero(row[:place] == score))


def cosine_scores(sentences: Floats, labels: Floats, label_lengths: Floats | None = None) -> Floats:
    """Cosine of each sentence vector with each label vector: (sentences, labels). Zero vectors score 0.

    Args:
        sentences: (sentences, d).
        labels: (labels, d); never copied, for there may be a million of them.
        label_lengths: (labels,) as `lengths_of` gives them, where they are known already.

    Raises:
        ValueError: not 2-D, or of different dimension.
    """
    for vectors in (sentences, labels):
        if vectors.ndim != 2:
            raise ValueError(f"embeddings must be 2-D, got shape {vectors.shape}")
    if sentences.shape[1] != labels.shape[1]:
        raise ValueError(f"sentences have {sentences.shape[1]} dimensions and labels {labels.shape[1]}")
    if label_lengths is None:
        label_lengths = lengths_of(labels)
    products: Floats = np.asarray(sentences / lengths_of(sentences)[:, None], dtype=np.float32) @ labels.T
    # Vectors that the model itself made 1 long are left as they are: dividing them again would only round.
    if not np.allclose(label_lengths, 1, atol=1e-6):
        products /= label_lengths
    return products


def lengths_of(vectors: Floats) -> Floats:
    """Length of each row, 1 for rows of zeros, so that one can divide by it: (n,) float32."""
    # einsum makes no copy of the vectors, np.linalg.norm does.
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float32))
    lengths[lengths == 0] = 1
    return np.asarray(lengths, dtype=np.float32)


class CosineSystem:
    """A system that ranks labels by the cosine of an encoder's vectors."""

    def __init__(
        self, name: str, encode_sentences: Callable[[list[str]], Floats], encode_labels: Callable[[list[str]], Floats]
    ) -> None:
        self.name = name
        self._encode_sentences = encode_sentences
        self._encode_labels = encode_labels
        self._labels: Floats | None = None
        self._lengths: Floats | None = None

    def index(self, names: SkillNames) -> None:
        """Encode every label once."""
        self._labels = self._encode_labels(list(names.labels))
        self._lengths = lengths_of(self._labels)

    def scores(self, sentences: Sequence[str]) -> Floats:
        """Cosines: (sentences, labels)."""
        if self._labels is None:
            raise RuntimeError("index the label space before scoring")
        return cosine_scores(self._encode_sentences(list(sentences)), self._labels, self._lengths)


def system_of_encoder(name: str, encoder: Encoder) -> CosineSystem:
    """The system of an encoder that treats sentences and labels alike."""
    return CosineSystem(name, encoder.encode, encoder.encode)


def checked_scores(given: npt.ArrayLike, shape: tuple[int, int], name: str) -> Floats:
    """Scores as float32, whatever a system of one's own gives: lists, whole numbers, truth values.

    Raises:
        StageError: they are no real numbers, of another shape than (sentences, labels), or not finite.
    """
    try:
        if np.iscomplexobj(given):
            raise TypeError("they are complex")
        with np.errstate(over="ignore"):  # infinite then, which is refused below
            scores = np.asarray(given, dtype=np.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        raise StageError(f"{name} gave scores that are no array of numbers ({error})") from None
    if scores.shape != shape:
        raise StageError(f"{name} gave scores of shape {scores.shape}, and {shape} (sentences, labels) is needed")
    if not np.isfinite(scores).all():
        raise StageError(f"{name} gave scores that are not finite", "Are its weights whole?")
    return scores
