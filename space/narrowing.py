"""Matches whose evidence is a whole passage -> the same with evidence on the words that show the skill.

A passage's vector is the mean of its tokens' vectors, so its tokens can be asked one by one how near they are to the
skill's name. The run of words that stands out most from the rest of the passage is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from name_words import FILLERS
from plain_text import PlainText, plain_text
from skill_index import SkillIndex, Vectors
from skill_match import SkillMatch

# Shorter passages are short enough to be read whole.
LEAST_WORDS = 5
# Words count that are so many standard deviations nearer than the mean of the passage; see measure_evidence.py.
STANDS_OUT = 0.5
_WORD = re.compile(r"\S+")
_EDGE = " \t\n.,;:!?()[]\"'“”‘’«»|*_\u2002"


@dataclass(frozen=True)
class TokenVectors:
    """Tokens of one text. `vectors`: (tokens, dimensions); `starts`, `ends`: offsets into the text, equal for marks."""

    vectors: Vectors
    starts: tuple[int, ...]
    ends: tuple[int, ...]


EncodeTokens = Callable[[list[str]], list[TokenVectors]]


def narrow(
    texts: Sequence[str], results: Sequence[Sequence[SkillMatch]], index: SkillIndex, encode_tokens: EncodeTokens
) -> list[list[SkillMatch]]:
    """Narrow all evidence that was found by meaning; each passage is encoded once, whatever it shows."""
    passages: dict[tuple[int, int, int], PlainText] = {}
    for number, (text, matches) in enumerate(zip(texts, results, strict=True)):
        for match in matches:
            for place in match.evidence:
                passage = text[place.start : place.end]
                if not place.written and len(passage.split()) >= LEAST_WORDS:
                    passages[number, place.start, place.end] = plain_text(passage)
    letters = [passage.letters for passage in passages.values()]
    tokens = dict(zip(passages, encode_tokens(letters), strict=True)) if passages else {}

    def narrowed(number: int, match: SkillMatch) -> SkillMatch:
        vector = index.vectors[index.position[match.uri]]
        evidence = []
        for place in match.evidence:
            key = (number, place.start, place.end)
            known = key in tokens and not place.written
            words = words_that_show(passages[key].letters, tokens[key], vector) if known else None
            start, end = passages[key].place(*words) if words else (0, place.end - place.start)
            evidence.append(replace(place, start=place.start + start, end=place.start + end))
        return replace(match, evidence=tuple(evidence))

    return [[narrowed(number, match) for match in matches] for number, matches in enumerate(results)]


def words_that_show(passage: str, tokens: TokenVectors, skill: Vectors) -> tuple[int, int] | None:
    """Offsets of the run of words nearest to a skill; None where the words say nothing of their own.

    Args:
        passage: the text of `tokens`.
        tokens: its tokens.
        skill: (dimensions,), the skill's vector, of length one.
    """
    if tokens.vectors.shape[1:] != skill.shape:
        return None
    cosines = tokens.vectors @ skill / np.maximum(np.linalg.norm(tokens.vectors, axis=1), 1e-12)
    words, nearness = [], []
    for found in _WORD.finditer(passage):
        inside = [
            cosine
            for cosine, start, end in zip(cosines.tolist(), tokens.starts, tokens.ends, strict=True)
            if end > start and start < found.end() and end > found.start()
        ]
        # Words beyond the encoder's limit have no token.
        if inside:
            words.append(found.span())
            nearness.append(sum(inside) / len(inside))
    if not words:
        return None
    values = np.array(nearness)
    first, last = _best_run((values - values.mean() - STANDS_OUT * values.std()).tolist())
    while first < last and _is_filler(passage, words[first]):
        first += 1
    while first < last and _is_filler(passage, words[last]):
        last -= 1
    start, end = words[first][0], words[last][1]
    inner = passage[start:end]
    start += len(inner) - len(inner.lstrip(_EDGE))
    end -= len(inner) - len(inner.rstrip(_EDGE))
    return (start, end) if start < end else None


def _is_filler(passage: str, word: tuple[int, int]) -> bool:
    return passage[slice(*word)].strip(_EDGE).lower() in FILLERS


def _best_run(values: Sequence[float]) -> tuple[int, int]:
    """First and last place of the run with the largest sum (Kadane's algorithm); of equal runs the first."""
    best, best_sum = (0, 0), float("-inf")
    start, total = 0, 0.0
    for place, value in enumerate(values):
        if total <= 0:
            start, total = place, 0.0
        total += value
        if total > best_sum:
            best, best_sum = (start, place), total
    return best
