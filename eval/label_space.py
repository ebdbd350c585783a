"""An ESCO release, or a dataset's `skills` config, -> the skill names that are ranked, in tie order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from dataset_builder.contract import StageError, sha256_of_lines
from dataset_builder.esco import EscoRelease, read_esco
from dataset_builder.schema import ALTERNATIVE_LABELS, LABEL, SKILLS_FILE, TYPE, URI, DatasetManifest
from eval.results import LabelSpace


@dataclass(frozen=True)
class SkillNames:
    """The label space: one entry a skill, in the order in which ties are broken.

    `uris`, `types` and `alternative_labels` are as long as `labels`, or empty where the source has none; `broader`
    maps a URI to its parents, and `related` to the skills it is linked with.
    """

    labels: tuple[str, ...]
    source: str
    version: str
    uris: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    alternative_labels: tuple[tuple[str, ...], ...] = ()
    broader: dict[str, tuple[str, ...]] = field(default_factory=dict)
    related: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def position(self) -> dict[str, int]:
        """Place of each label; of several skills with one label, the first."""
        places: dict[str, int] = {}
        for place, label in enumerate(self.labels):
            places.setdefault(label, place)
        return places

    @property
    def record(self) -> LabelSpace:
        """What results.json says about this label space."""
        return LabelSpace(source=self.source, version=self.version, size=len(self), sha256=sha256_of_lines(self.labels))


def names_of_esco(sources: Sequence[str | Path], language: str = "en") -> SkillNames:
    """Preferred labels of an ESCO release, given as zips, folders, or a version number.

    Raises:
        StageError: see `read_esco`.
    """
    return names_of_release(read_esco(sources, language), " + ".join(Path(str(source)).name for source in sources))


def names_of_release(release: EscoRelease, source: str) -> SkillNames:
    """Preferred labels of a release that is already read."""
    return SkillNames(
        labels=tuple(release.labels),
        source=source,
        version=release.version,
        uris=tuple(skill.uri for skill in release.skills),
        types=tuple(skill.skill_type for skill in release.skills),
        alternative_labels=tuple(skill.alternative_labels for skill in release.skills),
        broader=release.broader,
        related=release.related,
    )


def names_of_dataset(source: str) -> SkillNames:
    """The config `skills` of a dataset folder or Hub id[@revision].

    Raises:
        StageError: no such dataset, or it has no such config or columns.
    """
    from datasets import load_dataset

    place, _, revision = source.partition("@")
    file = Path(place) / SKILLS_FILE
    try:
        if file.is_file():
            rows = load_dataset("parquet", data_files=str(file), split="train")
        elif Path(place).exists():
            raise StageError(f"{place} holds no {SKILLS_FILE}", "Give a dataset folder that dataset_builder wrote")
        else:
            rows = load_dataset(place, "skills", split="train", revision=revision or None)
    except (OSError, ValueError) as error:
        raise StageError(f"the label space {source} cannot be opened ({error})") from error
    for column in (URI, LABEL, ALTERNATIVE_LABELS, TYPE):
        if column not in rows.column_names:
            raise StageError(f"{source} has no column {column!r} (found: {', '.join(rows.column_names)})")
    return SkillNames(
        labels=tuple(label.strip() for label in rows[LABEL]),
        source=Path(place).name if file.is_file() else source,
        version=_esco_version(place, revision),
        uris=tuple(rows[URI]),
        types=tuple(rows[TYPE]),
        alternative_labels=tuple(tuple(labels) for labels in rows[ALTERNATIVE_LABELS]),
    )


def _esco_version(place: str, revision: str) -> str:
    """ESCO version of a dataset folder or Hub id by its manifest; "unknown" without one."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    file = Path(place) / DatasetManifest.FILE_NAME
    if not Path(place).exists():
        try:
            name = DatasetManifest.FILE_NAME
            file = Path(hf_hub_download(place, name, repo_type="dataset", revision=revision or None))
        except LocalEntryNotFoundError as error:
            raise StageError(f"the manifest of {place} cannot be downloaded ({error})") from error
        except EntryNotFoundError:
            return "unknown"
    return DatasetManifest.load(file).esco.version if file.is_file() else "unknown"
