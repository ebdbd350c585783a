"""Systems without a trained encoder: literal match, TF-IDF of words and characters, BM25, and fusion of systems.

Each takes in the label space once and scores sentences against it. Ties stay ties here; the ranking breaks them by
label order. All of them ignore case.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from dataset_builder.contract import StageError
from eval.label_space import SkillNames
from eval.ranking import Floats, System, checked_scores

# Letters, digits and the signs inside names such as C++, C#, .NET and node.js.
_WORD = re.compile(r"[^\W_]+(?:[+#]+|(?:[.'\u2019-][^\W_]+)*)")


def words_of(text: str) -> list[str]:
    """Lower-case words of a text; punctuation is dropped, but for signs inside names such as c++ and node.js."""
    return _WORD.findall(text.lower())


class LiteralMatch:
    """Labels whose words stand in the sentence one after another; of several, the one with the most words first."""

    name = "literal"

    def __init__(self) -> None:
        self._places: dict[tuple[str, ...], list[int]] = {}
        self._labels = 0

    def index(self, names: SkillNames) -> None:
        """Note the words of every preferred label."""
        self._labels = len(names)
        self._places = {}
        for place, label in enumerate(names.labels):
            self._places.setdefault(tuple(words_of(label)), []).append(place)
        self._places.pop((), None)

    def scores(self, sentences: Sequence[str]) -> Floats:
        """Number of words matched, 0 where the label is not there: (sentences, labels)."""
        scores = np.zeros((len(sentences), self._labels), dtype=np.float32)
        longest = max(map(len, self._places), default=0)
        for row, sentence in zip(scores, sentences, strict=True):
            words = words_of(sentence)
            for start in range(len(words)):
                for end in range(start + 1, min(start + longest, len(words)) + 1):
                    for place in self._places.get(tuple(words[start:end]), ()):
                        row[place] = end - start
        return scores


class TfIdf:
    """Cosine of TF-IDF vectors of words, or of characters 2 to 5 within words; fitted on the names themselves.

    With alternative labels a skill scores as its best name.
    """

    def __init__(self, unit: str, alternative: bool = False) -> None:
        self.name = f"tfidf-{unit}" + ("-alt" if alternative else "")
        self._unit = unit
        self._alternative = alternative
        self._vectorizer: Any = None
        self._names: Any = None
        self._firsts: list[int] = []

    def index(self, names: SkillNames) -> None:
        """Fit on all names: preferred labels, and alternative labels where asked for.

        Raises:
            StageError: no name has a word of two letters.
        """
        from sklearn.feature_extraction.text import TfidfVectorizer

        texts: list[str] = []
        self._firsts = []
        for place, label in enumerate(names.labels):
            self._firsts.append(len(texts))
            texts.append(label)
            if self._alternative and names.alternative_labels:
                texts.extend(names.alternative_labels[place])
        if self._unit == "words":
            self._vectorizer = TfidfVectorizer()
        else:
            self._vectorizer = TfidfVectorizer(sublinear_tf=True, analyzer="char_wb", ngram_range=(2, 5))
        try:
            self._names = self._vectorizer.fit_transform(texts).astype(np.float32)
        except ValueError as error:
            raise StageError(f"{self.name} finds no words in {names.source} ({error})") from None

    def scores(self, sentences: Sequence[str]) -> Floats:
        """Cosines: (sentences, labels)."""
        scores = np.empty((len(sentences), len(self._firsts)), dtype=np.float32)
        vectors = self._vectorizer.transform(sentences).astype(np.float32)
        for start in range(0, len(sentences), 64):
            block = (vectors[start : start + 64] @ self._names.T).toarray()
            scores[start : start + 64] = np.maximum.reduceat(block, self._firsts, axis=1)
        return scores


class Bm25:
    """BM25 (Lucene's form, k1 1.5, b 0.75) with the labels as documents and the sentence as the query."""

    name = "bm25"

    def __init__(self) -> None:
        self._index: Any = None
        self._labels = 0

    def index(self, names: SkillNames) -> None:
        """Index every preferred label.

        Raises:
            StageError: no label has a word.
        """
        import bm25s

        self._labels = len(names)
        self._index = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
        words = [words_of(label) for label in names.labels]
        if not any(words):
            raise StageError(f"{self.name} finds no words in {names.source}")
        self._index.index(words, show_progress=False)

    def scores(self, sentences: Sequence[str]) -> Floats:
        """BM25 scores: (sentences, labels)."""
        scores = np.zeros((len(sentences), self._labels), dtype=np.float32)
        known = self._index.vocab_dict
        for row, sentence in zip(scores, sentences, strict=True):
            words = [word for word in words_of(sentence) if word in known]
            if words:
                row[:] = self._index.get_scores(words)
        return scores


class Fusion:
    """Weighted sum of systems' scores, each turned into z-scores over the label space first."""

    def __init__(self, systems: Sequence[System], weights: Sequence[float]) -> None:
        if len(systems) != len(weights):
            raise ValueError(f"got {len(systems)} systems and {len(weights)} weights")
        self._systems = systems
        self._weights = weights
        self._labels = 0
        self.name = " + ".join(f"{weight:g} {system.name}" for weight, system in zip(weights, systems, strict=True))

    def index(self, names: SkillNames) -> None:
        """Index every system."""
        self._labels = len(names)
        for system in self._systems:
            system.index(names)

    def scores(self, sentences: Sequence[str]) -> Floats:
        """Sum of weighted z-scores: (sentences, labels).

        Raises:
            StageError: a system gave scores that are no numbers, of the wrong shape, or not finite.
        """
        shape = (len(sentences), self._labels)
        return sum_of_z_scores(
            [
                (weight, checked_scores(system.scores(sentences), shape, system.name))
                for weight, system in zip(self._weights, self._systems, strict=True)
            ]
        )


def sum_of_z_scores(weighted: Sequence[tuple[float, Floats]]) -> Floats:
    """Weighted sum of (sentences, labels) scores as z-scores of each row; a row without spread counts 0."""
    total = np.zeros_like(weighted[0][1])
    for weight, scores in weighted:
        spread = scores.std(axis=1, keepdims=True)
        total += weight * (scores - scores.mean(axis=1, keepdims=True)) / np.where(spread == 0, 1, spread)
    return total
