"""Names of skills and the words of a passage -> how far the passage uses a name's words, in any order and ending.

A second opinion beside the encoder's: "prepare the drinks" has both words of "prepare drinks", whatever stands between
them. Rare words count for more (inverse document frequency over the labels).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from skill_index import Skill

_WORD = re.compile(r"[^\W_]+[+#]*")
FILLERS = frozenset(
    """and or the of a an to in for with on by at from as is are be you we our your will this that other using use
    their into etc""".split()
)
_ENDINGS = ("ations", "ation", "ings", "ing", "ies", "ed", "es", "s", "e", "y")
_SHORTEST_STEM = 4


class NameWords:
    """The names of a list of skills as sets of words; an alias is read when its skill is first asked for."""

    def __init__(self, skills: Sequence[Skill]) -> None:
        self._skills = skills
        labels_with = Counter(word for skill in skills for word in words_of(skill.label))
        self._rarities = {word: math.log(1 + len(skills) / (1 + count)) for word, count in labels_with.items()}
        self._highest = math.log(1 + len(skills))
        self._names: dict[int, tuple[tuple[frozenset[str], float], ...]] = {}

    def agreement(self, skill: int, words: frozenset[str]) -> float:
        """Share of a name's words that are among `words`, in [0, 1], of the name of this skill that fits best."""
        return max(
            (
                sum(map(self._rarity, words & name)) / total
                for name, total in self._names_of(skill)
                if not words.isdisjoint(name)
            ),
            default=0.0,
        )

    def _names_of(self, skill: int) -> tuple[tuple[frozenset[str], float], ...]:
        known = self._names.get(skill)
        if known is None:
            one = self._skills[skill]
            sets = dict.fromkeys(words_of(name) for name in (one.label, *one.alternative_labels))
            known = tuple((words, sum(map(self._rarity, words))) for words in sets)
            self._names[skill] = known
        return known

    def _rarity(self, word: str) -> float:
        return self._rarities.get(word, self._highest)


def forget_words() -> None:
    """Let go of the words of all texts that were read."""
    _stem.cache_clear()


def words_of(text: str) -> frozenset[str]:
    """The words of a text without fillers and endings."""
    return frozenset(_stem(word) for word in _WORD.findall(text.lower()) if word not in FILLERS)


@lru_cache(maxsize=65_536)  # ads use the same words again and again
def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST_STEM:
            return word[: -len(ending)]
    return word
