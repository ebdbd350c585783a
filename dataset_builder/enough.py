"""Sentences of several datasets -> at most so many a skill: the first dataset's, then the clearest of the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from dataset_builder.esco import Skill
from dataset_builder.filters import Report
from dataset_builder.round_trip import Encoder, gold_ranks, normalised
from dataset_builder.sentences import Sentence

ENOUGH = "its skills have enough sentences"


@dataclass(frozen=True)
class Limit:
    """At most so many sentences a skill, where a sentence for several skills counts for each of them.

    The first dataset's sentences come first, in their order; then those of each further one in which `encoder` ranks
    the skill (of several the one that ranks last) highest among all names, or without an encoder in their order. A
    sentence is kept while any of its skills has fewer than `at_most`, so that a skill may end with a few more.
    """

    at_most: int
    encoder: Encoder | None = None
    encoder_name: str = ""

    def apply(
        self, datasets: Sequence[Sequence[Sentence]], label_space: Sequence[Skill], report: Report
    ) -> list[list[Sentence]]:
        """What is kept of each dataset, in its order; the report has the rest."""
        have: Counter[str] = Counter()
        kept = []
        for number, sentences in enumerate(datasets):
            taken = set()
            for index in self._nearest_first(sentences, label_space) if number else range(len(sentences)):
                skills = [skill.uri for skill in sentences[index].skills]
                if any(have[uri] < self.at_most for uri in skills):
                    have.update(skills)
                    taken.add(index)
            for index, sentence in enumerate(sentences):
                if index not in taken:
                    report.reject(ENOUGH, sentence)
            kept.append([sentence for index, sentence in enumerate(sentences) if index in taken])
        return kept

    def _nearest_first(self, sentences: Sequence[Sentence], label_space: Sequence[Skill]) -> Sequence[int]:
        if self.encoder is None or not sentences:
            return range(len(sentences))
        position = {skill.uri: index for index, skill in enumerate(label_space)}
        names = normalised(self.encoder.encode([skill.label for skill in label_space]))
        golds = [[position[skill.uri] for skill in sentence.skills] for sentence in sentences]
        ranks = gold_ranks(self.encoder, [sentence.text for sentence in sentences], golds, names)
        return sorted(range(len(ranks)), key=ranks.__getitem__)
