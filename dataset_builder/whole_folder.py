"""A dataset folder is written beside its place and moved there when it is whole.

A version that exists is never written over: the same content leaves it as it is, other content is an error.
"""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dataset_builder.card import write_card
from dataset_builder.contract import StageError
from dataset_builder.schema import DatasetManifest
from dataset_builder.versions import changes_since, check_version


@dataclass(frozen=True)
class Place:
    """Where a version is to go.

    `previous` is the folder of the version before, `also` what a remedy adds beside another folder or number.
    """

    out: Path
    version: str
    previous: str | None = None
    also: str = ""

    def manifest(self) -> DatasetManifest | None:
        """The manifest of the version that the folder holds already; None when there is nothing in it.

        Raises:
            StageError: it holds something else, or another version.
        """
        if not self.out.exists() or (self.out.is_dir() and not any(self.out.iterdir())):
            return None
        if not (self.out / DatasetManifest.FILE_NAME).is_file():
            raise StageError(f"{self.out} exists and holds no dataset", f"Give another --out{self.also}")
        found = DatasetManifest.load(self.out)
        if found.version != self.version:
            raise self.holds_other(found)
        return found

    def holds_other(self, found: DatasetManifest) -> StageError:
        """The error that the folder holds what is not to be written over."""
        remedy = f"Give another --out, and another --version for a new one{self.also}"
        return StageError(f"{self.out} holds version {found.version} with other content", remedy)


def write_whole(place: Place, fill: Callable[[Path], DatasetManifest]) -> tuple[DatasetManifest, bool]:
    """Write a version: what `fill` writes into an empty folder, then the card, and the manifest last.

    Returns:
        The manifest, and whether anything was written (False when the same content is there already).

    Raises:
        StageError: the folder holds other content; or the version's number hides what changed since `previous`.
    """
    out = place.out
    building = out.with_name(f".{out.name}.{os.getpid()}.building")
    _clear_left_behind(out)
    try:
        building.mkdir(parents=True)
        manifest = fill(building)
        if place.previous:
            check_version(place.previous, manifest, building, place.also)
            changes = changes_since(DatasetManifest.load(place.previous), manifest)
            manifest = manifest.model_copy(update={"changes": changes})
        existing = place.manifest()
        if existing and existing.data_sha256 != manifest.data_sha256:
            raise place.holds_other(existing)
        if existing:
            return existing, False
        write_card(building, manifest)
        manifest.save(building)
        if out.exists():
            out.rmdir()
        building.rename(out)
        return manifest, True
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _clear_left_behind(out: Path) -> None:
    """Remove what builds of this folder left when they were killed while they wrote it."""
    for folder in out.parent.glob(f".{glob.escape(out.name)}.*.building"):
        process = folder.name.split(".")[-2]
        if process.isdigit() and (int(process) == os.getpid() or not _runs(int(process))):
            shutil.rmtree(folder, ignore_errors=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True
