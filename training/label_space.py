"""ESCO, a dataset's skills or its pairs -> the label space: what is ranked, in tie order, with the ids of skills."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from dataset_builder.contract import sha256_of_lines
from dataset_builder.esco import EscoRelease


@dataclass(frozen=True)
class LabelSpace:
    """Preferred labels in tie order; a skill's id is its position.

    `uris` runs parallel to `labels` and holds "" where the source gave none. Of labels that are equal as text only the
    first has an id, since they are one and the same text to a ranking.
    """

    labels: tuple[str, ...]
    uris: tuple[str, ...]
    version: str

    @cached_property
    def sha256(self) -> str:
        """Hash that names this label space and its order."""
        return sha256_of_lines(self.labels)

    @cached_property
    def _ids(self) -> dict[str, int]:
        ids: dict[str, int] = {}
        for position, label in enumerate(self.labels):
            ids.setdefault(label, position)
        return ids

    @cached_property
    def twins(self) -> dict[int, tuple[int, ...]]:
        """Positions that repeat a label, by its id: no skill has them as id."""
        found: dict[int, tuple[int, ...]] = {}
        for position, label in enumerate(self.labels):
            first = self._ids[label]
            if position != first:
                found[first] = (*found.get(first, ()), position)
        return found

    @cached_property
    def _ids_ignoring_case(self) -> dict[str, int]:
        ids: dict[str, int] = {}
        for position, label in enumerate(self.labels):
            ids.setdefault(label.casefold(), position)
        return ids

    @cached_property
    def ids_by_uri(self) -> dict[str, int]:
        """Ids by URI, without skills whose URI is unknown."""
        return {uri: self._ids[label] for uri, label in zip(self.uris, self.labels, strict=True) if uri}

    def id_of(self, label: str) -> int | None:
        """Id of a label, outer whitespace ignored, and case where nothing matches exactly; None when there is none."""
        stripped = label.strip()
        found = self._ids.get(stripped)
        return self._ids_ignoring_case.get(stripped.casefold()) if found is None else found

    def ids_of(self, labels: Iterable[str]) -> tuple[int, ...]:
        """Ids of the labels that are known, each once, in the order given."""
        found = (self.id_of(label) for label in labels)
        return tuple(dict.fromkeys(skill for skill in found if skill is not None))


def label_space_of_esco(esco: EscoRelease) -> LabelSpace:
    """The label space of an ESCO release."""
    return LabelSpace(tuple(esco.labels), tuple(skill.uri for skill in esco.skills), esco.version)


def label_space_of_rows(labels: Sequence[str], uris: Sequence[str], version: str) -> LabelSpace:
    """The label space of (label, URI) rows, each label once, in order of first mention."""
    first: dict[str, str] = {}
    for label, uri in zip(labels, uris, strict=True):
        first.setdefault(label.strip(), uri)
    return LabelSpace(tuple(first), tuple(first.values()), version)
