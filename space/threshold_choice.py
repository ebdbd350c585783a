"""Sentences with gold skills -> how near a skill must be, and how much the words that it shares with a passage count.

F0.5 says how good a choice is: a wrong skill costs more than a missed one. A few hundred sentences do not tell near
choices apart, so of those as good as the best the one that finds most is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dataset_builder.benchmark_files import GoldSentence
from skill_finder import Settings, SkillFinder

THRESHOLDS = np.round(np.arange(0.30, 0.86, 0.02), 2)
AGREEMENTS = (0.0, 0.1, 0.2, 0.3, 0.4)


@dataclass(frozen=True)
class Choice:
    """A threshold and a weight of shared words, and what they give on the validation sentences."""

    threshold: float
    agreement: float = 0.0
    precision: float = 0.0
    recall: float = 0.0
    f_half: float = 0.0
    f_half_error: float = 0.0  # standard error over sentences


def choose_threshold(finder: SkillFinder, validation: Sequence[GoldSentence]) -> tuple[Choice, Choice]:
    """Threshold and weight of shared words: (the one to use, the one with the best F0.5).

    Of the choices whose F0.5 is within a standard error of the best, the one with most recall is used.
    """
    choices = [
        choice
        for agreement in AGREEMENTS
        for choice in qualities(finder, validation, replace(finder.settings, agreement=agreement))
    ]
    best = max(choices, key=lambda choice: choice.f_half)
    as_good = [choice for choice in choices if choice.f_half >= best.f_half - best.f_half_error]
    return max(as_good, key=lambda choice: (choice.recall, choice.f_half)), best


def qualities(finder: SkillFinder, validation: Sequence[GoldSentence], settings: Settings) -> Iterator[Choice]:
    """Precision, recall and F0.5 at every threshold; a sentence that asks for nothing in the taxonomy counts too.

    The standard error is that of a ratio of sums over sentences (Cochran 1977, Sampling Techniques, 2.11).
    """
    gold = [set(one.labels) for one in validation]
    wanted = np.array([len(mine) for mine in gold])
    for threshold in map(float, THRESHOLDS):
        finder.settings = replace(settings, threshold=threshold)
        matches = finder.find_skills_batch([one.sentence for one in validation], merge=False, narrow=False)
        found = np.array([len(of_one) for of_one in matches])
        pairs = zip(matches, gold, strict=True)
        right = np.array([sum(match.label in mine for match in of_one) for of_one, mine in pairs])
        # F-beta = (1 + b2) right / (found + b2 wanted), with b2 = 0.25.
        above, below = 1.25 * right, found + 0.25 * wanted
        f_half = above.sum() / max(below.sum(), 1)
        error = np.sqrt(np.square(above - f_half * below).sum()) / max(below.sum(), 1)
        shares = (right.sum() / max(found.sum(), 1), right.sum() / max(wanted.sum(), 1), f_half, error)
        yield Choice(threshold, settings.agreement, *map(float, shares))
