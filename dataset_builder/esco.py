"""An ESCO release (zips, folders of CSV, or a version number to download) -> skills, occupations and relations.

The shape is that of the CSV files the European Commission publishes: https://esco.ec.europa.eu/en/use-esco/download
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from dataset_builder.contract import StageError, sha256_of_lines
from dataset_builder.csv_files import CsvFiles
from dataset_builder.esco_relations import (
    BROADER,
    RELATED,
    RELATION_TYPES,
    filled,
    has_relations,
    is_obsolete,
    known,
    read_links,
    read_needs,
)
from dataset_builder.schema import EscoSource

SKILL_COLUMNS = ("conceptUri", "preferredLabel", "altLabels", "description", "skillType")
OCCUPATION_COLUMNS = ("conceptUri", "preferredLabel")
SKILL_TYPES = ("knowledge", "skill/competence")  # or none: of a few skills ESCO says no type
# A folder may state its version here; otherwise the version is looked for in the names of zips and folders.
VERSION_FILE = "version.txt"
UNKNOWN_VERSION = "unknown"
_FILE_PATTERN = re.compile(r"(?:^|/)(skills|occupations)_([a-z]{2})\.csv$")
_VERSION_PATTERN = re.compile(r"(?<!\d)v?(\d+\.\d+(?:\.\d+)?)(?!\d)")


@dataclass(frozen=True)
class Skill:
    """One concept of the skills pillar. Labels have no outer whitespace."""

    uri: str
    label: str
    alternative_labels: tuple[str, ...] = ()
    hidden_labels: tuple[str, ...] = ()
    description: str = ""
    skill_type: str = ""
    reuse_level: str = ""

    def __hash__(self) -> int:
        # Over all fields it would be made anew each time that a skill is looked up.
        return hash(self.uri)


@dataclass(frozen=True)
class Occupation:
    """One occupation with the URIs of the skills it needs."""

    uri: str
    label: str
    essential_skills: tuple[str, ...] = ()
    optional_skills: tuple[str, ...] = ()


@dataclass(frozen=True)
class EscoRelease:
    """A whole release in file order, which is also the order in which ties between labels are broken.

    `broader` maps a skill's URI to its parents (skills or groups); `related` maps a skill to the skills it is linked
    with; `group_labels` names the skill groups; `notes` counts what was repaired or left out while
    reading.
    """

    version: str
    language: str
    skills: tuple[Skill, ...]
    occupations: tuple[Occupation, ...] = ()
    broader: dict[str, tuple[str, ...]] = field(default_factory=dict)
    related: dict[str, tuple[str, ...]] = field(default_factory=dict)
    group_labels: dict[str, str] = field(default_factory=dict)
    file_sha256: dict[str, str] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)

    @cached_property
    def by_uri(self) -> dict[str, Skill]:
        """Skills by URI."""
        return {skill.uri: skill for skill in self.skills}

    @property
    def labels(self) -> list[str]:
        """Preferred labels in file order: the label space."""
        return [skill.label for skill in self.skills]

    @property
    def labels_sha256(self) -> str:
        """Hash that names this label space and its order."""
        return sha256_of_lines(self.labels)

    @property
    def source(self) -> EscoSource:
        """What a manifest says about this release."""
        return EscoSource(
            version=self.version,
            language=self.language,
            skills=len(self.skills),
            occupations=len(self.occupations),
            file_sha256=self.file_sha256,
            notes=self.notes,
        )


def read_esco(sources: str | Path | Sequence[str | Path], language: str = "en") -> EscoRelease:
    """Read an ESCO release.

    Args:
        sources: one or more zips or folders of ESCO CSV files (the portal may split classification and relations), or
            a version number such as "1.1.0", which downloads the release into the user's cache, with the zip of its
            relations where no other place holds any.
        language: two-letter code of the language to read, as in `skills_en.csv`.

    Raises:
        StageError: nothing there, not ESCO, a missing column or a wrong row (with file, line and column).
    """
    places = [sources] if isinstance(sources, str | Path) else list(sources)
    files = _files_of(places, language)
    notes: Counter[str] = Counter()
    obsolete: set[str] = set()
    skills = _read_skills(files, language, obsolete, notes)
    groups = _read_group_labels(files, language, obsolete, notes)
    uris = {skill.uri for skill in skills}
    # Without their file nothing is known about groups, so any may stand above a skill.
    above = (uris | set(groups)) if groups else None
    return EscoRelease(
        version=_version_of(files.paths),
        language=language,
        skills=skills,
        occupations=_read_occupations(files, language, uris, notes),
        broader=read_links(files, BROADER, language, above, obsolete, notes),
        related=read_links(files, RELATED, language, uris, obsolete, notes),
        group_labels=groups,
        file_sha256=files.used_sha256,
        notes=dict(notes),
    )


def _files_of(places: Sequence[str | Path], language: str) -> CsvFiles:
    """The files of all places, and the relations of a release that came by its number where no place holds any."""
    paths = [_path_of(place, language) for place in places]
    _refuse_two_versions(paths)
    files = CsvFiles(paths)
    version = next(filter(None, map(_number_of, places)), None)
    if version and not has_relations(files, language):
        from dataset_builder.esco_download import download_relations

        relations = download_relations(version, language)
        return CsvFiles([*paths, relations]) if relations else files
    return files


def _path_of(place: str | Path, language: str) -> Path:
    if version := _number_of(place):
        from dataset_builder.esco_download import download_esco

        return download_esco(version, language)
    if Path(place).exists():
        return Path(place)
    raise StageError(
        f"{place} does not exist", "Give an ESCO zip, a folder of its CSV files, or a version such as 1.1.0"
    )


def _number_of(place: str | Path) -> str | None:
    """Three numbers, if the place is a version to download and no path."""
    if Path(place).exists() or not _VERSION_PATTERN.fullmatch(str(place)):
        return None
    version = str(place).removeprefix("v")
    return version if version.count(".") == 2 else f"{version}.0"


def _read_skills(files: CsvFiles, language: str, obsolete: set[str], notes: Counter[str]) -> tuple[Skill, ...]:
    name = f"skills_{language}.csv"
    if name not in files:
        places = ", ".join(map(str, files.paths))
        languages = sorted(
            {match[2] for file in files.names() if (match := _FILE_PATTERN.search(file)) and match[1] == "skills"}
        )
        hint = f"It has the languages {', '.join(languages)}" if languages else "Is it an ESCO release?"
        raise StageError(f"{places} holds no {name}", hint)
    skills: dict[str, Skill] = {}
    labels: Counter[str] = Counter()
    for line, row in files.rows(name, SKILL_COLUMNS):
        where = f"{name} line {line}"
        if is_obsolete(row, notes):
            obsolete.add(row["conceptUri"].strip())
            notes["obsolete concepts left out"] += 1
            continue
        uri, label = filled(row, ("conceptUri", "preferredLabel"), where)
        if uri in skills:
            raise StageError(f"{where}: column 'conceptUri' repeats {uri}")
        notes["labels with outer whitespace stripped"] += label != row["preferredLabel"]
        notes["labels with commas"] += "," in label
        notes["skills without description"] += not row["description"].strip()
        labels[label] += 1
        skills[uri] = Skill(
            uri=uri,
            label=label,
            alternative_labels=_labels_in(row["altLabels"], without=label),
            hidden_labels=_labels_in(row.get("hiddenLabels") or "", without=label),
            description=" ".join(row["description"].split()),
            skill_type=known(row["skillType"], SKILL_TYPES, "skillType", notes).removeprefix("skill/"),
            reuse_level=(row.get("reuseLevel") or "").strip(),
        )
    if not skills:
        raise StageError(f"{name} holds no skill")
    notes["preferred labels shared by several skills"] = sum(count for count in labels.values() if count > 1)
    return tuple(skills.values())


def _labels_in(cell: str, without: str) -> tuple[str, ...]:
    """Labels of a multi-line cell, one a line, without blanks, repeats and the preferred label."""
    labels = dict.fromkeys(line.strip() for line in cell.splitlines())
    return tuple(label for label in labels if label and label != without)


def _read_occupations(files: CsvFiles, language: str, skills: set[str], notes: Counter[str]) -> tuple[Occupation, ...]:
    name = f"occupations_{language}.csv"
    if name not in files:
        return ()
    labels: dict[str, str] = {}
    for line, row in files.rows(name, OCCUPATION_COLUMNS):
        where = f"{name} line {line}"
        if is_obsolete(row, notes):
            notes["obsolete occupations left out"] += 1
            continue
        uri, label = filled(row, OCCUPATION_COLUMNS, where)
        if uri in labels:
            raise StageError(f"{where}: column 'conceptUri' repeats {uri}")
        labels[uri] = label
    needs = read_needs(files, language, labels, skills, notes)
    return tuple(
        Occupation(uri, label, *(tuple(needs[uri, kind]) for kind in RELATION_TYPES)) for uri, label in labels.items()
    )


def _read_group_labels(files: CsvFiles, language: str, obsolete: set[str], notes: Counter[str]) -> dict[str, str]:
    name = f"skillGroups_{language}.csv"
    labels: dict[str, str] = {}
    for line, row in files.rows(name, OCCUPATION_COLUMNS) if name in files else ():
        where = f"{name} line {line}"
        if is_obsolete(row, notes):
            obsolete.add(row["conceptUri"].strip())
            notes["obsolete skill groups left out"] += 1
            continue
        uri, label = filled(row, OCCUPATION_COLUMNS, where)
        labels[uri] = label
    return labels


def _refuse_two_versions(paths: Sequence[Path]) -> None:
    """Relations of one release leave out skills of another without a word."""
    versions = {path: version for path in paths if (version := _version_of([path])) != UNKNOWN_VERSION}
    numbers = {
        (*map(int, found[1].split(".")), 0)[:3] for one in versions.values() if (found := _VERSION_PATTERN.search(one))
    }
    if len(numbers) > 1:
        which = ", ".join(f"{path.name}: {version}" for path, version in versions.items())
        raise StageError(f"the places are of different ESCO releases ({which})", "Give those of one release")


def _version_of(paths: Sequence[Path]) -> str:
    for path in paths:
        stated = path / VERSION_FILE
        if stated.is_file() and (version := stated.read_text(encoding="utf-8").strip()):
            return version
    for path in paths:
        found = _VERSION_PATTERN.search(path.name)
        if found:
            return found[1]
    return UNKNOWN_VERSION
