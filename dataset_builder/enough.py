"""Sentences of several datasets -> at most so many a skill: the first dataset's, then the clearest of the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from dataset_builder.esco import Skill
from dataset_builder.filters import Report
from dataset_builder.round_trip import REASON, Encoder, gold_ranks, normalised
from dataset_builder.sentences import Sentence

ENOUGH = "its skills have enough sentences"


@dataclass(frozen=True)
class Limit:
    """At most so many sentences a skill, where a sentence for several skills counts for each of them.

    The first dataset's sentences come first, in their order; then those of each further one in which `encoder` ranks
    the skill (of several the one that ranks last) highest among all names, or without an encoder in their order. A
    sentence is kept while any of its skills has fewer than `at_most`, so that a skill may end with a few more. With
    `nearest` a further dataset gives only sentences whose skill ranks among so many names; of n skills, all among n - 1
    more, since one name alone can be the nearest.
    """

    at_most: int
    encoder: Encoder | None = None
    encoder_name: str = ""
    nearest: int | None = None

    def apply(
        self, datasets: Sequence[Sequence[Sentence]], label_space: Sequence[Skill], report: Report
    ) -> list[list[Sentence]]:
        """What is kept of each dataset, in its order; the report has the rest."""
        have: Counter[str] = Counter()
        kept = []
        for number, sentences in enumerate(datasets):
            ranks = self._ranks(sentences, label_space) if number else []
            far = {index for index, rank in enumerate(ranks) if self._is_far(sentences[index], rank)}
            taken = set()
            for index in sorted(range(len(sentences)), key=ranks.__getitem__) if ranks else range(len(sentences)):
                if index in far:
                    continue
                skills = [skill.uri for skill in sentences[index].skills]
                if any(have[uri] < self.at_most for uri in skills):
                    have.update(skills)
                    taken.add(index)
            for index, sentence in enumerate(sentences):
                if index not in taken:
                    report.reject(REASON if index in far else ENOUGH, sentence)
            kept.append([sentence for index, sentence in enumerate(sentences) if index in taken])
        return kept

    def _is_far(self, sentence: Sentence, rank: int) -> bool:
        return self.nearest is not None and rank > self.nearest + len(sentence.skills) - 1

    def _ranks(self, sentences: Sequence[Sentence], label_space: Sequence[Skill]) -> Sequence[int]:
        """Of each sentence's skill among all names by the encoder, from 1; empty without one."""
        if self.encoder is None or not sentences:
            return []
        position = {skill.uri: index for index, skill in enumerate(label_space)}
        names = normalised(self.encoder.encode([skill.label for skill in label_space]))
        golds = [[position[skill.uri] for skill in sentence.skills] for sentence in sentences]
        return gold_ranks(self.encoder, [sentence.text for sentence in sentences], golds, names)
