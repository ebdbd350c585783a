"""Part files of output rows in a folder beside the output -> one Parquet file.

A part is a fixed range of rows, written under a temporary name and renamed: its presence means that its rows are done.
So a run that was killed goes on where it was, and loses or doubles nothing, whichever engine goes on with it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skill_index import SkillFinderError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PART_ROWS = 512
# Rows of a row group of the output; each row group is described in the file's footer.
JOIN_ROWS = 64 * PART_ROWS
RUN_FILE, LOCK_FILE = "run.json", "lock"


@dataclass(frozen=True)
class Joined:
    """What the output holds: `rows` rows, `errors` of them with an error in place of skills."""

    rows: int
    errors: int


@dataclass(frozen=True)
class Parts:
    """The folder of parts beside the output file."""

    out: Path

    @property
    def folder(self) -> Path:
        """Where the parts lie until the output is whole."""
        return self.out.with_name(self.out.name + ".parts")

    def path(self, number: int) -> Path:
        """File of part `number`."""
        return self.folder / f"part-{number:08d}.parquet"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other runs from this output while the block runs; the lock is gone with the process, however it ends.

        Raises:
            SkillFinderError: another run is writing it.
        """
        lock = self._lock()
        try:
            yield
        finally:
            (self.folder / LOCK_FILE).unlink(missing_ok=True)
            if lock is not None:
                os.close(lock)
            self._leave()

    def _lock(self) -> int | None:
        if fcntl is None:
            return None
        path = self.folder / LOCK_FILE
        while True:
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            except FileNotFoundError:  # the run before has just removed the folder
                continue
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(lock, 20).decode("ascii", "replace")
                os.close(lock)
                raise SkillFinderError(f"process {holder} is writing {self.out}: wait for it to end") from None
            except OSError:  # a file system without such locks
                os.close(lock)
                return None
            if path.exists() and os.path.samestat(os.fstat(lock), path.stat()):
                os.ftruncate(lock, 0)
                os.write(lock, str(os.getpid()).encode())
                return lock
            os.close(lock)

    def open(self, settings: dict[str, Any], restart: bool) -> None:
        """Start, or go on with, a run of these settings.

        Raises:
            SkillFinderError: the parts that are there were made with other settings.
        """
        file = self.folder / RUN_FILE
        if restart or not file.is_file():
            # Parts without a record are what a kill left of a run that was being removed.
            self._remove_run()
            self.folder.mkdir(parents=True, exist_ok=True)
            _write(file, json.dumps(settings, indent=1).encode())
            return
        try:
            before = dict(json.loads(file.read_text(encoding="utf-8")))
        except (ValueError, TypeError):
            before = {}
        changed = sorted(name for name in settings if settings[name] != before.get(name))
        if changed:
            raise SkillFinderError(
                f"{self.folder} holds parts of a run with another {changed[0]}; add --restart to begin again"
            )

    def is_done(self, number: int) -> bool:
        """Whether part `number` is whole."""
        return self.path(number).is_file()

    def save(self, number: int, rows: Sequence[dict[str, Any]]) -> None:
        """Write a part: all of it or nothing."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.path(number)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        pq.write_table(pa.Table.from_pylist(list(rows), schema=output_schema()), temporary, compression="zstd")
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)

    def join(self, parts: int) -> Joined:
        """Write the output file from `parts` parts, some at a time, and remove them."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        # Always the same name: what a kill leaves, the next run overwrites.
        temporary = self.out.with_name(f".{self.out.name}.tmp")
        rows = errors = 0
        at_once = max(1, JOIN_ROWS // PART_ROWS)
        try:
            with pq.ParquetWriter(temporary, output_schema(), compression="zstd") as writer:
                for start in range(0, parts, at_once):
                    numbers = range(start, min(start + at_once, parts))
                    table = pa.concat_tables([pq.read_table(self.path(number)) for number in numbers])
                    writer.write_table(table)
                    rows += table.num_rows
                    errors += table.num_rows - table["error"].null_count
            _to_disk(temporary)
            temporary.replace(self.out)
            _to_disk(self.out.parent)
        finally:
            temporary.unlink(missing_ok=True)
        # Only now: what is on the disk cannot be lost with the parts that it was made of.
        self._remove_run()
        return Joined(rows, errors)

    def _remove_run(self) -> None:
        """Remove what runs wrote, the record first: without it, parts are never taken for those of another run."""
        (self.folder / RUN_FILE).unlink(missing_ok=True)
        for pattern in ("part-*.parquet", ".*.tmp"):
            for file in self.folder.glob(pattern):
                file.unlink()
        self._leave()

    def _leave(self) -> None:
        """Remove the folder where nothing is left in it."""
        with suppress(OSError):
            self.folder.rmdir()


def _to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def output_schema() -> Any:
    """Columns of the output: one row an ad, in the order of the input."""
    import pyarrow as pa

    skill = pa.struct(
        {
            "uri": pa.string(),
            "label": pa.string(),
            "type": pa.string(),
            "score": pa.float32(),
            "start": pa.int64(),
            "end": pa.int64(),
        }
    )
    return pa.schema({"row": pa.int64(), "key": pa.string(), "skills": pa.list_(skill), "error": pa.string()})
