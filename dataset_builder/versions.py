"""Two manifests -> which step of the version number lies between them.

Another ESCO release or taxonomy, an edited taxonomy, another column or prompt family is a major step; more or other
rows of the same kind are a minor one; the same rows with another card are a patch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builder.contract import StageError
from dataset_builder.schema import (
    PAIRS_FILES,
    SKILLS_FILE,
    DatasetManifest,
    EscoSource,
    pairs_features,
    skills_features,
)

STEPS = ("none", "patch", "minor", "major")


@dataclass(frozen=True)
class VersionStep:
    """The smallest step that the changes call for, and why."""

    step: str
    reasons: tuple[str, ...]


def check_number(version: str) -> None:
    """Refuse a version that is not three numbers.

    Raises:
        StageError: it is not.
    """
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise StageError(f"version {version!r} is not of the form 1.2.3")


def columns_of(folder: str | Path) -> dict[str, str]:
    """Columns with their types of the folder's data files, by path.

    Raises:
        StageError: a file cannot be read.
    """
    found = {}
    for path in (*PAIRS_FILES.values(), SKILLS_FILE):
        with _naming(Path(folder) / path) as file:
            found[path] = _listed(pq.read_schema(file))
    return found


def read_columns(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Some columns of a data file, all when None.

    Raises:
        StageError: it cannot be read.
    """
    with _naming(path):
        return pq.read_table(path, columns=None if columns is None else list(columns))


def needed_step(
    old: DatasetManifest,
    new: DatasetManifest,
    old_columns: dict[str, str] | None = None,
    new_columns: dict[str, str] | None = None,
) -> VersionStep:
    """Which step leads from `old` to `new`; columns are compared where both are given."""
    major = _other_columns(old_columns, new_columns) if old_columns and new_columns else []
    major += _other_inputs(old, new.esco, _families(new))
    if major:
        return VersionStep("major", tuple(major))
    if old.data_sha256 != new.data_sha256:
        return VersionStep("minor", ("other rows",))
    return VersionStep("none", ())


def changes_since(old: DatasetManifest, new: DatasetManifest) -> list[str]:
    """What changed, in words for the card: the version before, then what differs."""
    facts = {
        "taxonomy": (one.esco.described for one in (old, new)),
        "model": (" and ".join(one.models) for one in (old, new)),
        "prompts": (_named(_families(one)) for one in (old, new)),
        "pairs": (f"{sum(file.rows for file in one.files if file.config == 'pairs'):,}" for one in (old, new)),
        "skills with a sentence": (f"{one.skills_with_rows:,}" for one in (old, new)),
    }
    pairs = {name: tuple(both) for name, both in facts.items()}
    differing = [f"{name}: {before} -> {after}" for name, (before, after) in pairs.items() if before != after]
    return [f"since {old.version}", *(differing or ["other rows of the same kind"])]


def check_version(previous: str | Path, new: DatasetManifest, folder: str | Path, also: str = "") -> None:
    """Refuse a version number that says less than what changed from the folder `previous` to the manifest's own.

    Args:
        previous: the folder of the version before.
        new: what is about to be written.
        folder: where its data files are.
        also: what a remedy says beside the number to use.

    Raises:
        StageError: the new number does not lie above the old one by at least the needed step.
    """
    old = DatasetManifest.load(previous)
    _refuse_hidden(old.version, new.version, needed_step(old, new, columns_of(previous), columns_of(folder)), also)


def check_planned(previous: str | Path, version: str, esco: EscoSource, families: dict[str, str], also: str) -> None:
    """Refuse what `check_version` would refuse of a version that a build has not made yet.

    What is known of it are its columns, its taxonomy and its prompt families.

    Args:
        previous: the folder of the version before.
        version: the number to be.
        esco: the taxonomy to be.
        families: versions of its prompt families by their names.
        also: what a remedy says beside the number to use.

    Raises:
        StageError: `previous` holds no whole dataset; or the number hides a change.
    """
    old = DatasetManifest.load(previous)
    try:
        columns = columns_of(previous)
    except StageError as error:
        raise StageError(f"--previous {previous} is no whole dataset ({error})") from None
    major = [*_other_columns(columns, _columns_of_a_build()), *_other_inputs(old, esco, families)]
    _refuse_hidden(old.version, version, VersionStep("major" if major else "none", tuple(major)), also)


def check_more_rows(previous: str | Path, version: str, also: str) -> None:
    """Refuse a number that leaves no room for other rows than those of the folder `previous`.

    Raises:
        StageError: the number is not a minor step above the old one.
    """
    step = VersionStep("minor", ("replies that are not there yet",))
    _refuse_hidden(DatasetManifest.load(previous).version, version, step, also)


def _refuse_hidden(old: str, new: str, step: VersionStep, also: str) -> None:
    if step.step == "none":
        return
    before, after = _numbers(old), _numbers(new)
    place = {"major": 1, "minor": 2}[step.step]
    # Below 1.0.0 nothing is promised yet: a minor step announces any change.
    place = 2 if before[0] == 0 and after[0] == 0 else place
    if after[:place] <= before[:place]:
        wanted = [*before[:place]]
        wanted[-1] += 1
        number = ".".join(map(str, (*wanted, *(0,) * (3 - place))))
        raise StageError(
            f"version {new} after {old} hides a {step.step} change ({'; '.join(step.reasons)})",
            f"Use {number} or above{also}",
        )


def _columns_of_a_build() -> dict[str, str]:
    """What `columns_of` will find in a folder that a build writes: types as they are read back."""
    features = {**dict.fromkeys(PAIRS_FILES.values(), pairs_features()), SKILLS_FILE: skills_features()}
    found = {}
    for path, columns in features.items():
        file = pa.BufferOutputStream()
        pq.write_table(columns.arrow_schema.empty_table(), file)
        found[path] = _listed(pq.read_schema(pa.BufferReader(file.getvalue())))
    return found


def _listed(columns: pa.Schema) -> str:
    return ", ".join(f"{column.name} {column.type}" for column in columns)


@contextmanager
def _naming(path: Path) -> Iterator[Path]:
    try:
        yield path
    except (OSError, pa.ArrowException) as error:
        raise StageError(f"{path} cannot be read ({' '.join(str(error).split())})") from None


def _other_columns(old: dict[str, str], new: dict[str, str]) -> list[str]:
    return [f"columns of {path}: {old[path]} -> {new.get(path)}" for path in sorted(old) if old[path] != new.get(path)]


def _other_inputs(old: DatasetManifest, esco: EscoSource, families: dict[str, str]) -> list[str]:
    """What a taxonomy and prompt families change that makes the step a major one."""
    changes = []
    if old.esco.described != esco.described:
        changes.append(f"{old.esco.described} -> {esco.described}")
    if _families(old) != families:
        changes.append(f"prompt families {_named(_families(old))} -> {_named(families)}")
    return changes


def _families(manifest: DatasetManifest) -> dict[str, str]:
    return {prompt.family: prompt.version.split(" ")[0] for prompt in manifest.prompts}


def _named(families: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(families.items()))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
