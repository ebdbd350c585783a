"""Any taxonomy as one CSV of id, label and, where present, description and alternative labels -> EscoRelease.

Alternative labels stand one a line within the cell, or separated by ` | `.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from dataset_builder.contract import StageError, sha256_of_file
from dataset_builder.csv_files import AS_TEXT, checked_rows
from dataset_builder.esco import EscoRelease, Skill, read_esco

ID = "id"
LABEL = "label"
DESCRIPTION = "description"
ALTERNATIVE_LABELS = "alternative_labels"
SEPARATOR = " | "
_SPELLINGS = {
    DESCRIPTION: {"description", "descriptions"},
    ALTERNATIVE_LABELS: {"altlabel", "altlabels", "alternativelabel", "alternativelabels", "synonyms"},
}


def read_label_space(places: Sequence[str], language: str = "en") -> EscoRelease:
    """An ESCO release, or any taxonomy when a single CSV file is given.

    Raises:
        StageError: see `read_esco` and `read_taxonomy`.
    """
    if len(places) == 1 and places[0].lower().endswith(".csv") and not Path(places[0]).is_dir():
        return read_taxonomy(places[0], language)
    return read_esco(places, language)


def read_taxonomy(path: str | Path, language: str = "en") -> EscoRelease:
    """Read a taxonomy CSV; its version is the file's name.

    Raises:
        StageError: no such file, a column is missing, or a wrong row, named by file, line and column.
    """
    path = Path(path)
    if not path.is_file():
        raise StageError(f"{path} does not exist", f"Give a CSV with the columns {ID} and {LABEL}")
    with path.open(**AS_TEXT) as file:
        skills, notes = _skills_in(file, path)
    return EscoRelease(
        version=path.stem,
        language=language,
        skills=skills,
        file_sha256={path.name: sha256_of_file(path)},
        notes=notes,
    )


def _skills_in(file: Iterable[str], path: Path) -> tuple[tuple[Skill, ...], dict[str, int]]:
    skills: dict[str, Skill] = {}
    labels: Counter[str] = Counter()
    notes: Counter[str] = Counter()
    for line, row in checked_rows(file, str(path), (ID, LABEL), f"The columns {ID} and {LABEL} must be there"):
        if not skills:
            _refuse_other_spellings(row, path)
        where = f"{path} line {line}"
        uri, label = row[ID].strip(), _on_one_line(row[LABEL])
        for column, value in ((ID, uri), (LABEL, label)):
            if not value:
                raise StageError(f"{where}: column {column!r} is empty")
        if uri in skills:
            raise StageError(f"{where}: column {ID!r} repeats {uri}")
        description = " ".join((row.get(DESCRIPTION) or "").split())
        notes["labels with outer whitespace stripped"] += row[LABEL].strip() != row[LABEL]
        notes["labels with commas"] += "," in label
        notes["skills without description"] += not description
        labels[label] += 1
        skills[uri] = Skill(uri, label, _alternatives(row.get(ALTERNATIVE_LABELS) or "", label), (), description)
    if not skills:
        raise StageError(f"{path} holds no skill")
    notes["preferred labels shared by several skills"] = sum(count for count in labels.values() if count > 1)
    return tuple(skills.values()), dict(notes)


def _refuse_other_spellings(columns: Iterable[str], path: Path) -> None:
    """A column "Description" or "altLabels" would be left out without a word."""
    for column in columns:
        plain = "".join(filter(str.isalpha, column)).casefold()
        for known, others in _SPELLINGS.items():
            if column != known and plain in others:
                problem = f"{path} has a column {column!r}, where {known!r} is read"
                raise StageError(problem, f"Rename it to {known}")


def _on_one_line(text: str) -> str:
    """A cell's text, with a blank where it has line breaks."""
    return " ".join(part for line in text.splitlines() if (part := line.strip()))


def _alternatives(cell: str, label: str) -> tuple[str, ...]:
    found = dict.fromkeys(part.strip() for part in cell.replace(SEPARATOR, "\n").splitlines())
    return tuple(part for part in found if part and part != label)
