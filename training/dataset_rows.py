"""A dataset folder, file or Hub id with an optional @revision -> its rows, whichever of our columns it has.

Ours have the columns of dataset_builder.schema; the paper's has `sentence` and `skill` only, and does as well.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_builder.contract import StageError, sha256_of_lines
from dataset_builder.schema import LABEL, SENTENCE, SKILL, SKILL_URI, SKILLS, STYLE, URI, DatasetManifest

FILE_KINDS = {".csv": "csv", ".parquet": "parquet", ".json": "json", ".jsonl": "json"}
NAMES_REMEDY = (
    "Give a folder, a CSV or Parquet file, or a Hub dataset id such as NAMESPACE/NAME or NAMESPACE/NAME@v1.0.0"
)


@dataclass(frozen=True)
class Row:
    """One (sentence, skill) pair as stored; `skills` holds all skills of the sentence, `skill` first."""

    sentence: str
    skill: str
    skills: tuple[str, ...]
    uri: str = ""
    style: str = ""


@dataclass(frozen=True)
class DatasetRows:
    """The training rows of a dataset, and its own label space where it has one.

    `skills` holds (label, URI) in label-space order, empty for datasets without a `skills` config.
    """

    id: str
    revision: str | None
    version: str
    sha256: str
    rows: tuple[Row, ...]
    skills: tuple[tuple[str, str], ...]
    esco_version: str


def split_revision(name: str) -> tuple[str, str | None]:
    """Split `NAMESPACE/NAME@REVISION`; an existing path is never split."""
    if Path(name).exists() or "@" not in name:
        return name, None
    place, _, revision = name.rpartition("@")
    return place, revision


def read_dataset(name: str) -> DatasetRows:
    """Read a dataset's training rows.

    Args:
        name: local folder or file, or Hub id with an optional @revision.

    Raises:
        StageError: it cannot be opened, has no train split, or lacks a needed column.
    """
    place, revision = split_revision(name)
    configs = _configs(place, revision)
    pairs = _load(place, revision, "pairs" if "pairs" in configs else None)
    rows = _rows_of(pairs, name)
    skills: tuple[tuple[str, str], ...] = ()
    if "skills" in configs:
        table = _load(place, revision, "skills")
        skills = tuple(zip(table[LABEL], table[URI], strict=True))
    manifest = _manifest_of(place, revision, ours="pairs" in configs)
    return DatasetRows(
        id=os.path.basename(os.path.abspath(place)) if Path(place).exists() else place,
        revision=revision,
        version=manifest.version if manifest else (revision or "unknown"),
        sha256=sha256_of_lines([f"{row.sentence}\t{row.skill}" for row in rows]),
        rows=rows,
        skills=skills,
        esco_version=manifest.esco.version if manifest else "unknown",
    )


def load_table(name: str, columns: Sequence[str]) -> Any:
    """Open the train split of a dataset (folder, file, or Hub id with an optional @revision) that has `columns`.

    Raises:
        StageError: it cannot be opened, or a column is missing.
    """
    place, revision = split_revision(name)
    table = _load(place, revision, None)
    for column in columns:
        if column not in table.column_names:
            found = ", ".join(table.column_names)
            raise StageError(f"dataset {name} has no column {column!r} (found: {found})")
    return table


def _manifest_of(place: str, revision: str | None, ours: bool) -> DatasetManifest | None:
    """The manifest of a folder or of a Hub id at a revision; None without one.

    Of the Hub's, only those with a config of `ours` are asked: a manifest.json of others says something else.
    """
    file = Path(place) / DatasetManifest.FILE_NAME
    if ours and not Path(place).exists():
        file = _opened(place, lambda: _downloaded_manifest(place, revision)) or file
    return DatasetManifest.load(file) if file.is_file() else None


def _downloaded_manifest(place: str, revision: str | None) -> Path | None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(place, DatasetManifest.FILE_NAME, repo_type="dataset", revision=revision))
    except LocalEntryNotFoundError:  # nobody could be asked
        raise
    except EntryNotFoundError:
        return None


def _configs(place: str, revision: str | None) -> list[str]:
    from datasets import get_dataset_config_names

    if Path(place).is_file():
        return []
    return list(_opened(place, lambda: get_dataset_config_names(place, revision=revision)))


def _load(place: str, revision: str | None, config: str | None) -> Any:
    from datasets import load_dataset

    path = Path(place)
    if path.is_file():
        kind = FILE_KINDS.get(path.suffix)
        if kind is None:
            raise StageError(f"dataset {place} is not a CSV, Parquet or JSON file", NAMES_REMEDY)
        return _opened(place, lambda: load_dataset(kind, data_files=str(path), split="train"))
    if path.is_dir():
        return _opened(place, lambda: _load_folder(path, config))
    return _opened(place, lambda: load_dataset(place, config, revision=revision, split="train"))


def _load_folder(folder: Path, config: str | None) -> Any:
    """A folder's train split as its files are now.

    The library's cache knows a folder by its name and card alone: what it holds may be an older state of the folder,
    or another folder of that name.
    """
    from datasets import load_dataset

    with tempfile.TemporaryDirectory() as cache:
        return load_dataset(str(folder.resolve()), config, split="train", cache_dir=cache, keep_in_memory=True)


def _opened(place: str, attempt: Any) -> Any:
    """Call the `datasets` library quietly and turn its many errors into one of ours."""
    from datasets.utils.logging import disable_progress_bar, enable_progress_bar

    if Path(place).is_dir() and not any(Path(place).iterdir()):
        raise StageError(f"dataset folder {place} is empty", NAMES_REMEDY)
    disable_progress_bar()
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            return attempt()
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise StageError(
            f"dataset {place} cannot be opened ({type(error).__name__}: {reason})", NAMES_REMEDY
        ) from error
    finally:
        enable_progress_bar()


def _rows_of(table: Any, name: str) -> tuple[Row, ...]:
    for column in (SENTENCE, SKILL):
        if column not in table.column_names:
            found = ", ".join(table.column_names)
            raise StageError(
                f"dataset {name} has no column {column!r} (found: {found})", "See dataset_builder/schema.py"
            )
    sentences, labels = table[SENTENCE][:], table[SKILL][:]  # read once: a column is read anew at every pass
    skills = _column(table, SKILLS, [[] for _ in labels])
    if any(isinstance(others, str) for others in skills):
        raise StageError(f"dataset {name}: column {SKILLS!r} holds text, no lists", "Leave it out, or make it a list")
    _need_text(name, SENTENCE, (one for one in sentences if one is not None))
    _need_text(name, SKILL, (one for one in labels if one is not None))
    lists = (others if isinstance(others, list) else [others] for others in skills if others is not None)
    _need_text(name, SKILLS, (other for others in lists for other in others))
    uris, styles = _column(table, SKILL_URI, [""] * len(labels)), _column(table, STYLE, [""] * len(labels))
    rows = []
    for sentence, label, others, uri, style in zip(sentences, labels, skills, uris, styles, strict=True):
        if sentence and sentence.strip() and label and label.strip():
            own = label.strip()
            every = dict.fromkeys([own, *(other.strip() for other in others or ())])
            rows.append(Row(" ".join(sentence.split()), own, tuple(every), uri or "", style or ""))
    if not rows:
        raise StageError(f"dataset {name} holds no (sentence, skill) pair")
    return tuple(rows)


def _need_text(name: str, column: str, values: Iterable[Any]) -> None:
    """Make sure that a column holds texts.

    Raises:
        StageError: the first value that is none.
    """
    for value in values:
        if not isinstance(value, str):
            raise StageError(f"dataset {name}: column {column!r} holds {str(value)[:60]!r}, which is no text")


def _column(table: Any, name: str, default: Sequence[Any]) -> Sequence[Any]:
    values: Sequence[Any] = table[name][:] if name in table.column_names else default
    return values
