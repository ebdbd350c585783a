"""A suggested label and a query -> how the suggestion stands to the gold labels that were missed.

These are rules of thumb that sort errors for reading; they do not change any score.
"""

from __future__ import annotations

from collections.abc import Sequence

from dataset_builder.benchmark_files import GoldSentence
from eval.baselines import words_of
from eval.label_space import SkillNames

GOLD = "gold"
PARTIAL_GOLD = "partial gold"
NEAR_SYNONYM = "near-synonym"
NEIGHBOUR = "hierarchy neighbour"
WRONG_SENSE = "wrong sense"
OTHER = "other"
KINDS = {
    PARTIAL_GOLD: "a suggestion stands in the sentence word for word, so the gold may lack it",
    NEAR_SYNONYM: "a suggestion shares a name, or at least half of its words, with a missed gold label",
    NEIGHBOUR: "a suggestion is parent, child, sibling or related skill of a missed gold label in ESCO",
    WRONG_SENSE: "a suggestion shares a word with the sentence, but has nothing to do with the gold in ESCO",
    OTHER: "none of these",
}
# Words that say nothing about the skill.
EMPTY_WORDS = frozenset(
    "a an and as at be by can do for from have in into is it its of on or other our that the their them this to up us "
    "use using we will with you your skills skill knowledge ability work working".split()
)


class Relations:
    """Compares suggestions with gold labels in one label space."""

    def __init__(self, names: SkillNames) -> None:
        self._names = names
        self._forms: dict[int, frozenset[str]] = {}

    def kind_of(self, place: int, query: GoldSentence, missed: Sequence[str]) -> str:
        """One of GOLD and the keys of KINDS: the first that fits.

        Args:
            place: of the suggested label in the label space.
            query: the sentence and all of its gold labels.
            missed: its gold labels that were not found.
        """
        if self._names.labels[place] in query.labels:
            return GOLD
        text = f" {' '.join(words_of(query.sentence))} "
        if any(f" {form} " in text for form in self._forms_of(place)):
            return PARTIAL_GOLD
        places = [self._names.position[label] for label in missed if label in self._names.position]
        if any(self._near_synonyms(place, other) for other in places):
            return NEAR_SYNONYM
        if any(self._neighbours(place, other) for other in places):
            return NEIGHBOUR
        return WRONG_SENSE if _content(self._names.labels[place]) & _content(query.sentence) else OTHER

    def _forms_of(self, place: int) -> frozenset[str]:
        """All names of a skill as words with single spaces."""
        if place not in self._forms:
            others = self._names.alternative_labels[place] if self._names.alternative_labels else ()
            forms = (" ".join(words_of(name)) for name in (self._names.labels[place], *others))
            self._forms[place] = frozenset(form for form in forms if form)
        return self._forms[place]

    def _near_synonyms(self, first: int, second: int) -> bool:
        if self._forms_of(first) & self._forms_of(second):
            return True
        words, others = _content(self._names.labels[first]), _content(self._names.labels[second])
        return bool(words | others) and len(words & others) / len(words | others) >= 0.5

    def _neighbours(self, first: int, second: int) -> bool:
        if not self._names.uris:
            return False
        uri, other = self._names.uris[first], self._names.uris[second]
        parents = self._names.broader.get(uri, ())
        other_parents = self._names.broader.get(other, ())
        related = self._names.related
        return (
            other in parents
            or uri in other_parents
            or bool(set(parents) & set(other_parents))
            or other in related.get(uri, ())
            or uri in related.get(other, ())
        )


def kind_of_query(kinds: Sequence[str]) -> str:
    """What went wrong with a query: the first of KINDS that any of its suggestions shows."""
    return next((kind for kind in KINDS if kind in kinds), OTHER)


def _content(text: str) -> frozenset[str]:
    """Words that say something, without a plural's s."""
    return frozenset(word.removesuffix("s") for word in words_of(text)) - EMPTY_WORDS
