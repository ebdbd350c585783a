"""Accepted sentences -> what the card says about them: coverage, leakage, diversity, lengths."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from dataset_builder.filters import leaks, normal_form
from dataset_builder.sentences import Sentence
from dataset_builder.words import words_of

Z_95 = 1.959964


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """95% interval of a share (Wilson, Journal of the American Statistical Association 22, 1927, p. 209).

    Raises:
        ValueError: no trials, or more successes than trials.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} of {trials} is no share")
    share, square = successes / trials, Z_95**2
    centre = (share + square / (2 * trials)) / (1 + square / trials)
    half = Z_95 * math.sqrt(share * (1 - share) / trials + square / (4 * trials**2)) / (1 + square / trials)
    return max(0.0, centre - half), min(1.0, centre + half)


def measure(sentences: Sequence[Sentence], skills_in_release: int) -> dict[str, float | None]:
    """Figures of a dataset, as fractions in [0, 1] or plain numbers.

    `distinct_trigrams` is the share of word trigrams that are different; `coverage` the share of the release's skills
    with a sentence, `coverage_two` with at least two.
    """
    if not sentences:
        return {"coverage": 0.0, "coverage_two": 0.0, "leakage": None, "mean_words": None, "distinct_trigrams": None}
    of_skill = Counter(skill.uri for sentence in sentences for skill in sentence.skills)
    words = [words_of(normal_form(sentence.text)) for sentence in sentences]
    trigrams = [tuple(text[start : start + 3]) for text in words for start in range(len(text) - 2)]
    leaking = sum(map(leaks, sentences))
    low, high = wilson_interval(leaking, len(sentences))
    return {
        "coverage": len(of_skill) / skills_in_release,
        "coverage_two": sum(count >= 2 for count in of_skill.values()) / skills_in_release,
        "sentences_per_skill": sum(of_skill.values()) / len(of_skill),
        "skills_per_sentence": sum(of_skill.values()) / len(sentences),
        "leakage": leaking / len(sentences),
        "leakage_low": low,
        "leakage_high": high,
        "mean_words": sum(map(len, words)) / len(words),
        "distinct_trigrams": len(set(trigrams)) / len(trigrams) if trigrams else None,
        "distinct_first_words": len({text[0] for text in words if text}) / len(words),
    }


def histograms(sentences: Sequence[Sentence]) -> dict[str, dict[str, int]]:
    """Counts by style, family, words a sentence, sentences a skill and skills a sentence."""
    of_skill = Counter(skill.uri for sentence in sentences for skill in sentence.skills)
    return {
        "style": _sorted(Counter(sentence.style for sentence in sentences)),
        "family": _sorted(Counter(sentence.family for sentence in sentences)),
        "words": _sorted(Counter(len(words_of(normal_form(sentence.text))) for sentence in sentences)),
        "sentences_per_skill": _sorted(Counter(of_skill.values())),
        "skills_per_sentence": _sorted(Counter(len(sentence.skills) for sentence in sentences)),
    }


def _sorted(counts: Counter[str] | Counter[int]) -> dict[str, int]:
    return {str(value): counts[value] for value in sorted(counts)}  # type: ignore[index]
