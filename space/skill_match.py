"""The skills found in a text, and the merging of those that say the same.

ESCO has many names for nearly one thing ("use spreadsheets software", "spreadsheet software"). Two matches are
near-duplicates when the same words show them and their names are close, closer names being asked of skills that the
taxonomy does not put side by side.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from skill_index import SkillIndex

FoundBy = Literal["meaning", "words", "both"]
# Cosine between two names from which they are taken as one: anywhere in the taxonomy, and among relatives.
SAME_ANYWHERE, SAME_AMONG_RELATIVES = 0.78, 0.62
COMPARED_AT_ONCE = 256
# Names are near each other and mean the opposite: "load cargo", "unload cargo".
_OPPOSITES = tuple(
    frozenset(pair.split("/"))
    for pair in """import/export imports/exports load/unload loading/unloading install/remove installing/removing
    install/uninstall installation/removal buy/sell purchase/sale incoming/outgoing internal/external
    increase/decrease open/close
    start/stop assemble/dismantle assemble/disassemble upload/download arrival/departure arrivals/departures
    indoor/outdoor hot/cold alcoholic/non-alcoholic opening/closing hardware/software
    analog/digital analogue/digital male/female inbound/outbound hire/discharge attach/detach""".split()
)


@dataclass(frozen=True)
class Evidence:
    """A place that shows a skill: `text[start:end]` of the user's own text, in code points.

    `written`: a name of the skill stands there; otherwise the words mean it.
    """

    start: int
    end: int
    score: float
    written: bool = False


@dataclass(frozen=True)
class SkillMatch:
    """A skill found in a text, its evidence best first.

    `score` is that of the best evidence; `found_by` says whether the name is written out ("words"), the passage means
    it ("meaning") or both; `similar` are the names of near-duplicates merged under this skill.
    """

    label: str
    uri: str
    type: str
    score: float
    evidence: tuple[Evidence, ...]
    found_by: FoundBy = "meaning"
    group: str = ""
    similar: tuple[str, ...] = ()


def merge_near_duplicates(matches: Sequence[SkillMatch], index: SkillIndex) -> list[SkillMatch]:
    """Put each match that repeats a better one under it. `matches` come best first, and so does the result."""
    kept: dict[int, SkillMatch] = {}
    for number, (match, others) in enumerate(zip(matches, _sharing_words(matches), strict=True)):
        for better in sorted(others & kept.keys()):
            if are_close(kept[better], match, index):
                kept[better] = replace(kept[better], similar=(*kept[better].similar, match.label))
                break
        else:
            kept[number] = match
    return list(kept.values())


def _sharing_words(matches: Sequence[SkillMatch]) -> list[set[int]]:
    """For each match, the numbers of those whose evidence overlaps its own: one walk over all places of the text."""
    places = sorted((place.start, place.end, number) for number, one in enumerate(matches) for place in one.evidence)
    sharing: list[set[int]] = [set() for _ in matches]
    running: list[tuple[int, int]] = []
    for start, end, number in places:
        running = [(its_end, other) for its_end, other in running if its_end > start]
        for _, other in running:
            sharing[number].add(other)
            sharing[other].add(number)
        running.append((end, number))
    return sharing


def are_close(better: SkillMatch, match: SkillMatch, index: SkillIndex) -> bool:
    """Whether two skills say nearly the same: closer names are asked of skills that stand apart in the taxonomy."""
    if are_opposites(better.label, match.label):
        return False
    parents, others = (index.skills[index.position[one.uri]].broader_uris for one in (better, match))
    relatives = match.uri in parents or better.uri in others or not set(parents).isdisjoint(others)
    return closeness(better, match, index) >= (SAME_AMONG_RELATIVES if relatives else SAME_ANYWHERE)


def pairs_of_same(
    ours: Sequence[SkillMatch], theirs: Sequence[SkillMatch], index: SkillIndex
) -> Iterator[tuple[SkillMatch, SkillMatch]]:
    """Matches of two texts that are one skill: they share a name, or their names are close, and no opposites."""
    named: dict[str, set[int]] = defaultdict(set)
    for number, match in enumerate(theirs):
        for name in (match.label, *match.similar):
            named[name].add(number)
    # No words that both share say that relatives are one: German and English are two, as are C++ and C#.
    for match, near in zip(ours, _near(ours, theirs, index), strict=True):
        near.update(*(named.get(name, ()) for name in (match.label, *match.similar)))
        for other in (theirs[number] for number in sorted(near)):
            if not are_opposites(match.label, other.label):
                yield match, other


def _near(ours: Sequence[SkillMatch], theirs: Sequence[SkillMatch], index: SkillIndex) -> Iterator[set[int]]:
    """For each of ours the numbers of theirs whose names are close. All at once would be a cosine for each pair."""
    places, others = ([index.position[match.uri] for match in matches] for matches in (ours, theirs))
    vectors = index.vectors[others]
    for start in range(0, len(places), COMPARED_AT_ONCE):
        for row in index.vectors[places[start : start + COMPARED_AT_ONCE]] @ vectors.T:
            yield set(np.flatnonzero(row >= SAME_ANYWHERE).tolist())


def are_opposites(one: str, other: str) -> bool:
    """Whether two names differ by a word and its opposite."""
    ours, theirs = set(one.lower().split()), set(other.lower().split())
    return any(len(pair & ours) == len(pair & theirs) == 1 and pair & ours != pair & theirs for pair in _OPPOSITES)


def closeness(one: SkillMatch, other: SkillMatch, index: SkillIndex) -> float:
    """Cosine of two skills' names."""
    return float(np.dot(index.vectors[index.position[one.uri]], index.vectors[index.position[other.uri]]))
