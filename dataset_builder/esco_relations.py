"""Relation files of an ESCO release -> which occupation needs which skill, and which concepts are linked."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Container, Mapping, Sequence

from dataset_builder.contract import StageError
from dataset_builder.csv_files import CsvFiles

RELATION_COLUMNS = ("occupationUri", "relationType", "skillUri")
RELATION_TYPES = ("essential", "optional")
STATUSES = ("released", "obsolete")
NEEDS = "occupationSkillRelations"
# Files of links between concepts, with their columns: from, to.
BROADER = ("broaderRelationsSkillPillar", "conceptUri", "broaderUri")
RELATED = ("skillSkillRelations", "originalSkillUri", "relatedSkillUri")
# What is counted in `notes` about relations.
DANGLING = "relations with unknown or obsolete concepts left out"
REPEATED = "repeated relations left out"


def is_obsolete(row: Mapping[str, str], notes: Counter[str]) -> bool:
    """Whether a concept's row says so; one without a status, or with one that is unknown here, is not."""
    return known(row.get("status", "").casefold(), STATUSES, "status", notes) == "obsolete"


def known(cell: str, values: Sequence[str], column: str, notes: Counter[str]) -> str:
    """A cell without outer whitespace; a value that no release had so far is counted: the next one may have it."""
    value = cell.strip()
    if value and value not in values:
        notes[f"values of {column} that are unknown here"] += 1
    return value


def filled(row: Mapping[str, str], columns: Sequence[str], where: str) -> list[str]:
    """The cells of some columns without outer whitespace.

    Raises:
        StageError: an empty one, named by `where` and column.
    """
    values = [row[column].strip() for column in columns]
    if not all(values):
        raise StageError(f"{where}: column {columns[values.index('')]!r} is empty")
    return values


def has_relations(files: CsvFiles, language: str) -> bool:
    """Whether one of the files of relations that are read here is among some files."""
    return any(_relation_file(files, stem, language) for stem in (NEEDS, BROADER[0], RELATED[0]))


def read_needs(
    files: CsvFiles, language: str, occupations: Container[str], skills: Container[str], notes: Counter[str]
) -> dict[tuple[str, str], dict[str, None]]:
    """The skills of each (occupation, relation type), in file order; what is not among the given is left out, counted.

    Raises:
        StageError: an empty cell or another relation type, with file, line and column.
    """
    name = _relation_file(files, NEEDS, language)
    needs: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    for line, row in files.rows(name, RELATION_COLUMNS) if name else ():
        where = f"{name} line {line}"
        occupation, kind, skill = filled(row, RELATION_COLUMNS, where)
        _check_type(kind, where)
        if occupation not in occupations or skill not in skills:
            notes[DANGLING] += 1
        elif skill in needs[occupation, kind]:
            notes[REPEATED] += 1
        else:
            needs[occupation, kind][skill] = None
    return needs


def read_links(
    files: CsvFiles,
    links: tuple[str, str, str],
    language: str,
    known: Container[str] | None,
    obsolete: Container[str],
    notes: Counter[str],
) -> dict[str, tuple[str, ...]]:
    """Targets by source, in file order; `links` is the start of the file's name and its columns: from, to.

    What is obsolete, or not among `known` where that is given, is left out and counted.

    Raises:
        StageError: an empty cell or another relation type, with file, line and column.
    """
    stem, *columns = links
    name = _relation_file(files, stem, language)
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for line, row in files.rows(name, columns) if name else ():
        where = f"{name} line {line}"
        ends = filled(row, columns, where)
        if "relationType" in row:
            _check_type((row["relationType"] or "").strip(), where)
        source, target = ends
        if any(uri in obsolete or (known is not None and uri not in known) for uri in ends):
            notes[DANGLING] += 1
        elif target in found[source]:
            notes[REPEATED] += 1
        else:
            found[source][target] = None
    return {uri: tuple(targets) for uri, targets in found.items()}


def _relation_file(files: CsvFiles, stem: str, language: str) -> str | None:
    """Name of a relation file: from ESCO 1.1.1 on it carries a language; its URIs are the same in every language."""
    found = [file for file in files.names() if re.fullmatch(rf"{stem}(_[a-z]{{2}})?\.csv", file)]
    return next((file for file in found if file.endswith(f"_{language}.csv")), found[0] if found else None)


def _check_type(kind: str, where: str) -> None:
    if kind not in RELATION_TYPES:
        raise StageError(f"{where}: column 'relationType' is {kind!r}, neither {' nor '.join(RELATION_TYPES)}")
