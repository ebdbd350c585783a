"""Passages of a text with their vectors -> which skill is shown where, and how strongly."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lexicon import Lexicon, NameFound
from no_skill import Gate, cannot_ask
from passages import Passage, split_list, split_passages
from skill_index import SkillIndex, Vectors
from skill_match import Evidence, FoundBy

WRITTEN_LABEL, WRITTEN_ALIAS = 0.95, 0.85
# How far below the threshold the encoder may be and still confirm an ambiguous name that is written there.
CONFIRMATION_SLACK = 0.15
# One or two words match names by their spelling more than by their meaning: they need so much more.
MORE_FOR_ONE_WORD, MORE_FOR_TWO_WORDS = 0.25, 0.1
# A sentence asks for two skills on average; more than this many are neighbours of the same one.
MOST_PER_UNIT = 5
# Skills of a passage that score this much less than its best one are its neighbours, not its content.
WIDEST_GAP = 0.15
# Scores held at once: (units, skills) float32, 14 MB over all of ESCO.
UNITS_AT_ONCE = 256


@dataclass(frozen=True)
class Unit:
    """A passage and, where it lists things, its items: what is encoded and scored."""

    passage: Passage
    items: tuple[Passage, ...]
    cannot_ask: bool

    @property
    def spans(self) -> tuple[Passage, ...]:
        """The passage first, then its items."""
        return (self.passage, *self.items)


@dataclass(frozen=True)
class Hit:
    """Skill number `skill`, shown at one place."""

    skill: int
    evidence: Evidence
    found_by: FoundBy


def read_units(text: str) -> list[Unit]:
    """Split a text into what is scored, in the order of the text."""
    passages = split_passages(text)
    silent = cannot_ask(passages, text)
    return [
        Unit(passage, () if mute else tuple(split_list(passage, text)), mute)
        for passage, mute in zip(passages, silent, strict=True)
    ]


@dataclass(frozen=True)
class PassageScorer:
    """Scores units against an index by meaning, and its lexicon by words."""

    index: SkillIndex
    lexicon: Lexicon
    gate: Gate | None
    threshold: float
    use_meaning: bool = True
    use_words: bool = True

    def hits(self, text: str, units: Sequence[Unit], vector_of: Mapping[str, Vectors]) -> list[Hit]:
        """Every skill shown by a unit that may ask for one. vector_of: text of a span -> its normalised vector."""
        found: list[Hit] = []
        asking = [unit for unit in units if not unit.cannot_ask]
        if not self.use_meaning:
            return [hit for unit in asking for hit in self._written(text, unit, None)]
        for chunk in _chunks(asking):
            spans = [span.text for unit in chunk for span in unit.spans]
            vectors = np.stack([vector_of[span] for span in spans])
            scores = vectors @ self.index.vectors.T
            chances = self.gate.probabilities(vectors) if self.gate else np.ones(len(spans), np.float32)
            row = 0
            for unit in chunk:
                rows = scores[row : row + len(unit.spans)]
                found += self._hits_of_unit(text, unit, rows, float(chances[row]))
                row += len(unit.spans)
        return found

    def _hits_of_unit(self, text: str, unit: Unit, scores: Vectors, chance: float) -> list[Hit]:
        """scores: (1 + items, skills), cosine; chance: that the passage names a skill."""
        least = self.gate.least if self.gate else 0.0
        if chance < least / 2:
            return []
        written = self._written(text, unit, scores, sure_only=chance < least) if self.use_words else []
        if chance < least:
            return written
        return [*written, *self._meant(unit, scores, {hit.skill for hit in written})]

    def _meant(self, unit: Unit, scores: Vectors, written: set[int]) -> Iterator[Hit]:
        """Skills near the passage or one of its items; each at the place that shows it best."""
        best_place: dict[int, Evidence] = {}
        for span, row in zip(unit.spans, scores, strict=True):
            best = float(row.max())
            least = self.threshold + _more_for(span.text)
            if best < least:
                continue
            top = np.argpartition(-row, min(MOST_PER_UNIT, len(row) - 1))[:MOST_PER_UNIT]
            for skill in map(int, top):
                score = float(row[skill])
                known = best_place.get(skill)
                if score >= max(least, best - WIDEST_GAP) and (known is None or score > known.score):
                    best_place[skill] = Evidence(span.start, span.end, score)
        for skill, evidence in best_place.items():
            if skill not in self.lexicon.written_only and skill not in written:
                yield Hit(skill, evidence, "meaning")

    def _written(self, text: str, unit: Unit, scores: Vectors | None, sure_only: bool = False) -> list[Hit]:
        """Names written in the passage; ambiguous ones only where the encoder is near enough."""
        start = unit.passage.start
        hits = []
        by_place: dict[tuple[int, int], list[NameFound]] = defaultdict(list)
        for name in self.lexicon.find(text[start : unit.passage.end]):
            by_place[name.start, name.end].append(name)
        for (name_start, name_end), names in by_place.items():
            name = max(names, key=lambda one: self._meaning_of(one, scores))
            cosine = self._meaning_of(name, scores)
            slack = CONFIRMATION_SLACK if name.kind == "label" else 0.0
            unconfirmed = name.ambiguous and cosine < self.threshold - slack
            if unconfirmed or (sure_only and (name.ambiguous or name.kind == "alias")):
                continue
            floor = WRITTEN_LABEL if name.kind == "label" else WRITTEN_ALIAS
            how: FoundBy = "both" if cosine >= self.threshold else "words"
            hits.append(Hit(name.skill, Evidence(start + name_start, start + name_end, max(cosine, floor)), how))
        return hits

    def _meaning_of(self, name: NameFound, scores: Vectors | None) -> float:
        return float(scores[:, name.skill].max()) if scores is not None else 0.0


def _more_for(text: str) -> float:
    words = len(text.split())
    return {1: MORE_FOR_ONE_WORD, 2: MORE_FOR_TWO_WORDS}.get(words, 0.0)


def _chunks(units: Sequence[Unit]) -> Iterator[list[Unit]]:
    chunk: list[Unit] = []
    size = 0
    for unit in units:
        if chunk and size + len(unit.spans) > UNITS_AT_ONCE:
            yield chunk
            chunk, size = [], 0
        chunk.append(unit)
        size += len(unit.spans)
    if chunk:
        yield chunk
