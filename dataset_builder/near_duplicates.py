"""Sentences of many skills -> those that do not nearly repeat an earlier one of another skill.

Near means that the words in alphabetical order agree by NEAR_SCORE of 100 in rapidfuzz's ratio, its token_sort_ratio.
Only sentences that may share WORD_OVERLAP of their different words (Jaccard) are compared: such two share a word among
the rarest few of each (prefix filtering: Chaudhuri et al., ICDE 2006). Time is that of the sentences times how often
their rarest words occur: with a fixed vocabulary it grows with the square, at a small fraction of all pairs.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

from rapidfuzz import fuzz, process

from dataset_builder.filters import NEAR_SCORE, Report, normal_form
from dataset_builder.sentences import Sentence
from dataset_builder.words import joined, words_of

WORD_OVERLAP = 0.7
MIN_WORDS = 4  # any two lines of three words look alike
REASON = "near-duplicate of another skill's sentence"


def drop_near_duplicates(sentences: Sequence[Sentence], report: Report) -> list[Sentence]:
    """Keep the first of sentences that say nearly the same."""
    words = [sorted(words_of(normal_form(sentence.text))) for sentence in sentences]
    frequency = Counter(word for one in words for word in set(one))
    index = _Index(frequency)
    kept: list[Sentence] = []
    for sentence, of_sentence in zip(sentences, words, strict=True):
        other = index.find_or_add(of_sentence, len(kept)) if len(of_sentence) >= MIN_WORDS else None
        if other is None:
            kept.append(sentence)
        else:
            report.reject(REASON, sentence, beside=kept[other])
    return kept


class _Index:
    """Kept sentences by their rarest words."""

    def __init__(self, frequency: Counter[str]) -> None:
        self._frequency = frequency
        self._texts: dict[int, str] = {}
        self._sizes: dict[int, int] = {}
        self._having: dict[str, list[int]] = defaultdict(list)

    def find_or_add(self, words: list[str], number: int) -> int | None:
        """The number of a sentence that says nearly the same; without one the sentence is added under its own."""
        different = sorted(set(words), key=lambda word: (self._frequency[word], word))
        size = len(different)
        rarest = different[: size - math.ceil(WORD_OVERLAP * size) + 1]
        near_size = range(math.ceil(WORD_OVERLAP * size), math.floor(size / WORD_OVERLAP) + 1)
        candidates = {
            other: self._texts[other]
            for word in rarest
            for other in self._having[word]
            if self._sizes[other] in near_size
        }
        text = joined(words)
        best = process.extractOne(text, candidates, scorer=fuzz.ratio, score_cutoff=NEAR_SCORE) if candidates else None
        if best is not None:
            return int(best[2])
        self._texts[number], self._sizes[number] = text, size
        for word in rarest:
            self._having[word].append(number)
        return None
