"""Sentence -> is its skill found again? An encoder must rank the skill's name high among all names.

How high is enough is chosen on validation sentences that people labelled: the same encoder ranks their gold labels,
and the bound is the rank that VALIDATION_RECALL of them reach.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from dataset_builder.benchmark_files import read_validation_file
from dataset_builder.contract import StageError, sha256_of_file
from dataset_builder.esco import EscoRelease
from dataset_builder.filters import Report
from dataset_builder.sentences import Sentence

VALIDATION_RECALL = 0.95
BLOCK = 512
REASON = "skill not found again (round trip)"


class Encoder(Protocol):
    """Texts -> (n, dimensions) float32."""

    def encode(self, texts: list[str]) -> np.ndarray:
        """Embeddings, one row a text."""


def load_encoder(name: str) -> Encoder:
    """A sentence-transformers model by folder or Hub id, `@revision` at the end of an id pins it."""
    from sentence_transformers import SentenceTransformer

    name, _, revision = (name, "", "") if Path(name).exists() else name.partition("@")
    model = SentenceTransformer(name, revision=revision or None, device="cpu")

    class Wrapped:
        def encode(self, texts: list[str]) -> np.ndarray:
            return np.asarray(model.encode(texts, batch_size=128, show_progress_bar=len(texts) > 5_000), np.float32)

    return Wrapped()


def encoder_used(name: str) -> tuple[str, str]:
    """The encoder `name` and the hash of its weights as a manifest has them, without the places of this machine.

    The hash is empty for an encoder of the Hub, and both are for no encoder.
    """
    folder = Path(name)
    if not name or not folder.is_dir():
        return name, ""
    weights = folder / "model.safetensors"
    return folder.resolve().name, sha256_of_file(weights) if weights.is_file() else ""


class Remembering:
    """An encoder that embeds each text once, for filters that run again over mostly the same sentences.

    Args:
        encoder: what embeds.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._known: dict[str, np.ndarray] = {}

    def encode(self, texts: list[str]) -> np.ndarray:
        """Embeddings, one row a text."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            self._known.update(zip(new, self._encoder.encode(new), strict=True))
        return np.stack([self._known[text] for text in texts])


def gold_ranks(encoder: Encoder, texts: Sequence[str], golds: Sequence[Sequence[int]], names: np.ndarray) -> list[int]:
    """Rank (from 1) of the gold name of each text that ranks last.

    Args:
        encoder: embeds the texts.
        texts: sentences.
        golds: for each sentence, positions of its gold names.
        names: (names, dimensions), L2-normalised.
    """
    if not texts:
        return []
    # Similar lengths in a batch waste less padding.
    order = np.argsort([len(text) for text in texts])
    vectors = np.empty((len(texts), names.shape[1]), np.float32)
    vectors[order] = normalised(encoder.encode([texts[index] for index in order]))
    ranks = []
    for start in range(0, len(texts), BLOCK):
        scores = vectors[start : start + BLOCK] @ names.T
        for row, gold in zip(scores, golds[start : start + BLOCK], strict=True):
            ranks.append(max(int((row > row[name]).sum()) + 1 for name in gold))
    return ranks


def normalised(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length one; a zero row stays zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float32)


def bound_on_validation(encoder: Encoder, release: EscoRelease, folder: str | Path, names: np.ndarray) -> int:
    """The rank that VALIDATION_RECALL of the gold labels reach in the *_validation.csv files of a folder.

    Raises:
        StageError: see `validation_labels`.
    """
    ranks = sorted(gold_ranks(encoder, *validation_labels(release, folder), names))
    return ranks[math.ceil(VALIDATION_RECALL * len(ranks)) - 1]


def validation_labels(release: EscoRelease, folder: str | Path) -> tuple[list[str], list[list[int]]]:
    """Sentences of the *_validation.csv files of a folder with the position of a gold label each, one a label.

    Raises:
        StageError: there is no such file, or none of its labels is in the release.
    """
    position = {label: index for index, label in enumerate(release.labels)}
    texts, golds = [], []
    for path in sorted(Path(folder).glob("*_validation.csv")):
        for query in read_validation_file(path).queries:
            for label in query.labels:
                if label in position:
                    texts.append(query.sentence)
                    golds.append([position[label]])
    if not texts:
        raise StageError(f"{folder} holds no *_validation.csv with labels of this release", "Give --round-trip-k K")
    return texts, golds


@dataclass(frozen=True)
class Bounds:
    """How high a skill must rank: among the first `near` names.

    A skill with fewer than `at_least` such sentences keeps its nearest ones, up to that many, among the first `far`.
    """

    near: int
    far: int = 0
    at_least: int = 0


def drop_lost(
    sentences: Sequence[Sentence],
    encoder: Encoder,
    release: EscoRelease,
    names: np.ndarray,
    bounds: Bounds,
    report: Report,
) -> list[Sentence]:
    """Drop sentences one of whose skills does not rank high enough: each skill gets a row."""
    position = {skill.uri: index for index, skill in enumerate(release.skills)}
    golds = [[position[skill.uri] for skill in sentence.skills] for sentence in sentences]
    ranks = gold_ranks(encoder, [sentence.text for sentence in sentences], golds, names)
    near_enough = [rank <= bounds.near for rank in ranks]
    have = Counter(
        skill.uri for sentence, near in zip(sentences, near_enough, strict=True) if near for skill in sentence.skills
    )
    for index in sorted(
        (index for index, rank in enumerate(ranks) if bounds.near < rank <= bounds.far), key=ranks.__getitem__
    ):
        skills = [skill.uri for skill in sentences[index].skills]
        if any(have[uri] < bounds.at_least for uri in skills):
            near_enough[index] = True
            have.update(skills)
    kept = []
    for sentence, near in zip(sentences, near_enough, strict=True):
        if near:
            kept.append(sentence)
        else:
            report.reject(REASON, sentence)
    return kept
