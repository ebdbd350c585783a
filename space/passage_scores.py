"""Passages of a text with their vectors -> which skill is shown where, and how strongly."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lexicon import Lexicon, NameFound
from name_words import NameWords, words_of
from no_skill import Gate, cannot_ask, leads_in
from passages import Passage, split_letters, split_list
from plain_text import PlainText, plain_text
from skill_index import SkillIndex, Vectors
from skill_match import Evidence, FoundBy
from token_scores import Reading, scores_of

WRITTEN_LABEL, WRITTEN_ALIAS = 0.95, 0.85
# How far below the threshold the encoder may be and still confirm an ambiguous name that is written there.
CONFIRMATION_SLACK = 0.15
# One or two words match names by their spelling more than by their meaning: their scores are so much less.
LESS_FOR_ONE_WORD, LESS_FOR_TWO_WORDS = 0.25, 0.1
# So many skills nearest to a span are looked at; the words that it uses choose among them.
CANDIDATES = 10
# A sentence asks for two skills on average; further ones are neighbours of the same one.
MOST_PER_SPAN = 2
# Skills of a passage that score this much less than its best one are its neighbours, not its content.
WIDEST_GAP = 0.15
# Parts of the gate's bound: from the first on a name that can mean nothing else counts, from the second on one that the
# encoder means as well; below that a passage is closed, unless it is but a name.
NAMES_FROM, AGREED_NAMES_FROM = 0.5, 0.2
# Scores held at once: (units, skills) float32, 14 MB over all of ESCO.
UNITS_AT_ONCE = 256


@dataclass(frozen=True)
class Unit:
    """A passage and, where it lists things, its items: what is encoded and scored.

    `plain`: the letters that a reader sees there.
    """

    passage: Passage
    items: tuple[Passage, ...]
    cannot_ask: bool
    plain: PlainText

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
    plain = plain_text(text)
    passages = split_letters(plain)
    silent = cannot_ask(passages, plain.letters)

    def placed(one: Passage) -> Passage:
        return Passage(*plain.place(one.start, one.end), one.text)

    return [
        Unit(
            placed(passage),
            () if mute else tuple(map(placed, split_list(passage, plain.letters))),
            mute,
            plain.part(passage.start, passage.end),
        )
        for passage, mute in zip(passages, silent, strict=True)
    ]


@dataclass(frozen=True)
class Rule:
    """Which skills a unit shows: those near enough by meaning, and those whose names are written there.

    `agreement`: how much a score gains when the passage uses all words of a skill's name, and loses when it uses none,
    is half of it; 0 leaves the cosine alone.
    """

    lexicon: Lexicon
    names: NameWords
    threshold: float
    agreement: float = 0.0
    use_words: bool = True

    def hits(self, unit: Unit, scores: Vectors, chance: float, least: float) -> list[Hit]:
        """Hits of one unit.

        Args:
            unit: a passage of the user's text.
            scores: (1 + items, skills), cosine or by tokens.
            chance: that the passage names a skill.
            least: under it only written names count: what the encoder means as well, and not far under it what cannot
                mean anything else.
        """
        written = self.written(unit, scores, sure_only=chance < least) if self.use_words else []
        if chance < least:
            return [hit for hit in written if chance >= NAMES_FROM * least or hit.found_by == "both"]
        return [*written, *self._meant(unit, scores, {hit.skill for hit in written})]

    def _meant(self, unit: Unit, scores: Vectors, written: set[int]) -> Iterator[Hit]:
        """Skills near the passage or one of its items; each at the place that shows it best."""
        best_place: dict[int, Evidence] = {}
        # Shared words lift a score by half of `agreement` at most: most spans and skills are done here.
        least = self.threshold - self.agreement / 2
        for i in np.flatnonzero(scores.max(axis=1) >= least).tolist():
            span, row = unit.spans[i], scores[i]
            near = np.flatnonzero(row >= least)
            near = near[np.argsort(-row[near], kind="stable")[:CANDIDATES]]
            ranked = self._ranked(span, near.tolist(), row)
            for skill, score in ranked[:MOST_PER_SPAN]:
                known = best_place.get(skill)
                if score < max(self.threshold, ranked[0][1] - WIDEST_GAP):
                    break
                if known is None or score > known.score:
                    best_place[skill] = Evidence(span.start, span.end, score)
        for skill, evidence in best_place.items():
            if skill not in self.lexicon.written_only and skill not in written:
                yield Hit(skill, evidence, "meaning")

    def _ranked(self, span: Passage, skills: list[int], cosines: Vectors) -> list[tuple[int, float]]:
        """(skill, score), best first; equal scores in the order of the taxonomy."""
        words = words_of(span.text) if self.agreement else frozenset()
        less = _less_for(span.text)
        scored = []
        for skill in sorted(skills):
            gain = self.agreement * (self.names.agreement(skill, words) - 0.5) if self.agreement else 0.0
            scored.append((skill, min(float(cosines[skill]) + gain - less, 1.0)))
        return sorted(scored, key=lambda pair: -pair[1])

    def written(self, unit: Unit, scores: Vectors | None, sure_only: bool = False) -> list[Hit]:
        """Names written in the passage. Where there are scores, all but plain labels need the encoder's consent."""
        hits = []
        by_place: dict[tuple[int, int], list[NameFound]] = defaultdict(list)
        for name in self.lexicon.find(unit.plain.letters):
            by_place[name.start, name.end].append(name)
        for (name_start, name_end), names in by_place.items():
            name = max(names, key=lambda one: _meaning_of(one, scores))
            cosine = _meaning_of(name, scores)
            doubtful = name.ambiguous or (name.kind == "alias" and scores is not None)
            if doubtful and cosine < self._consent(name):
                continue
            if sure_only and (doubtful or name.kind == "alias") and cosine < self.threshold:
                continue
            floor = WRITTEN_LABEL if name.kind == "label" else WRITTEN_ALIAS
            how: FoundBy = "both" if cosine >= self.threshold else "words"
            place = Evidence(*unit.plain.place(name_start, name_end), max(cosine, floor), written=True)
            hits.append(Hit(name.skill, place, how))
        return hits

    def is_a_name(self, unit: Unit) -> bool:
        """Whether the passage is the name of a skill, with no more around it than "Knowledge of" or "You will"."""
        if not self.use_words:
            return False
        text = unit.plain.letters
        return any(leads_in(f"{text[: name.start]} {text[name.end :]}") for name in self.lexicon.find(text))

    def _consent(self, name: NameFound) -> float:
        """The cosine from which the encoder agrees with a name that is written there."""
        short_alias = name.kind == "alias" and name.ambiguous
        return self.threshold - (0.0 if short_alias else CONFIRMATION_SLACK)


@dataclass(frozen=True)
class PassageScorer:
    """Scores units against an index, and lets a rule decide; what the gate holds back no rule sees."""

    index: SkillIndex
    gate: Gate | None
    rule: Rule

    def hits(self, units: Sequence[Unit], reading_of: Mapping[str, Reading]) -> list[Hit]:
        """Every skill shown by a unit that may ask for one. reading_of: text of a span -> its reading."""
        least = self.gate.least if self.gate else 0.0
        found: list[Hit] = []
        for chunk in _chunks([unit for unit in units if not unit.cannot_ask]):
            chances = self._chances(chunk, reading_of)
            open_units = [
                (unit, chance)
                for unit, chance in zip(chunk, chances, strict=True)
                if chance >= AGREED_NAMES_FROM * least
            ]
            if not open_units:
                continue
            scores = scores_of([reading_of[span.text] for unit, _ in open_units for span in unit.spans], self.index)
            row = 0
            for unit, chance in open_units:
                found += self.rule.hits(unit, scores[row : row + len(unit.spans)], chance, least)
                row += len(unit.spans)
        return found

    def _chances(self, units: Sequence[Unit], reading_of: Mapping[str, Reading]) -> list[float]:
        """The gate's chance that each unit's passage names a skill, high enough for a bare name; 1 without a gate."""
        if self.gate is None:
            return [1.0] * len(units)
        vectors = np.stack([reading_of[unit.passage.text].vector for unit in units])
        enough = NAMES_FROM * self.gate.least
        return [
            enough if chance < enough and self.rule.is_a_name(unit) else chance
            for unit, chance in zip(units, map(float, self.gate.probabilities(vectors)), strict=True)
        ]


def _meaning_of(name: NameFound, scores: Vectors | None) -> float:
    return float(scores[:, name.skill].max()) if scores is not None else 0.0


def _less_for(text: str) -> float:
    words = len(text.split())
    return {1: LESS_FOR_ONE_WORD, 2: LESS_FOR_TWO_WORDS}.get(words, 0.0)


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
