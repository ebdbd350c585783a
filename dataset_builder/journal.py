"""Every reply that was ever paid for: hash of the whole request -> reply or permanent refusal, in one SQLite file.

A request's key covers the provider, the model, the messages, the sampling, the seed and the attempt. The provider is
the server's base URL unless the user names it (`--provider`): a name lets a journal move to another port or machine,
and says that the servers behind both addresses answer alike. Refusals are kept, outages are not, so that a resume
repeats outages only. Each row carries a checksum; a row that does not match it counts as absent.

    python -m dataset_builder.journal export JOURNAL.sqlite REPLIES.parquet
    python -m dataset_builder.journal import JOURNAL.sqlite REPLIES.parquet
    python -m dataset_builder.journal salvage DAMAGED.sqlite JOURNAL.sqlite
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from json.encoder import encode_basestring_ascii
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from dataset_builder.contract import StageError, run_command

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

BATCH_ROWS = 10_000
REPLY = "reply"
REFUSAL = "refusal"
Row = tuple[Any, ...]


class Entry(NamedTuple):
    """What a server answered to one request.

    `kind` is REPLY or REFUSAL (then `text` is the error). `settled` says that nothing more was to be asked when the
    reply was read: a later parser judges the text anew, but never asks again. `about` says in short which request
    this was. Tokens are as the server counted them.
    """

    # A tuple, for a resume reads every row, and a frozen dataclass takes six times as long to make.
    key: str
    kind: str
    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    settled: bool
    about: str

    @property
    def checksum(self) -> str:
        """Hash over every field: a damaged row does not match it.

        Raises:
            TypeError: a field that should be text is none.
        """
        # What json.dumps(list(self)) gives, at a third of its time.
        key, kind, text, finish_reason, about = map(
            encode_basestring_ascii, (self.key, self.kind, self.text, self.finish_reason, self.about)
        )
        tokens = f"{self.prompt_tokens}, {self.completion_tokens}, {'true' if self.settled else 'false'}"
        content = f"[{key}, {kind}, {text}, {finish_reason}, {tokens}, {about}]"
        return hashlib.sha256(content.encode("utf-8")).hexdigest()[:16]


_NAMES = list(Entry._fields)
SELECT_ENTRIES = f"SELECT {', '.join(_NAMES)}, checksum FROM entries"  # noqa: S608
_INSERT = f"INSERT OR REPLACE INTO entries VALUES ({', '.join('?' * (len(_NAMES) + 1))})"  # noqa: S608
_CREATE = """CREATE TABLE IF NOT EXISTS entries (
    key TEXT PRIMARY KEY, kind TEXT, text TEXT, finish_reason TEXT, prompt_tokens INTEGER, completion_tokens INTEGER,
    settled INTEGER, about TEXT, checksum TEXT) WITHOUT ROWID"""


class Journal:
    """An open journal file. One process writes; a reader may look at the same time.

    `damaged` holds the keys of all damaged rows that were met; `corrupt` those of them that no new entry has replaced.
    A row whose key is damaged is met by `look_for_damage` alone.

    Args:
        path: the SQLite file, made with its folders when it is missing.

    Raises:
        StageError: the file is no journal, or a write fails for lack of space.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.damaged: set[str] = set()
        self.corrupt: set[str] = set()
        self._met: set[str] = set()
        self._held: int | None = None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._errors():
            self._db = sqlite3.connect(self.path, isolation_level=None)
            # With a write-ahead log a killed process loses nothing that it had written.
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute(_CREATE)

    def get(self, key: str) -> Entry | None:
        """The entry of a request, or None where there is none that can be trusted."""
        return self.get_many([key]).get(key)

    def get_many(self, keys: Sequence[str]) -> dict[str, Entry]:
        """The entries of several requests by key, those that can be trusted, in one read."""
        rows = self._rows("WHERE key IN (SELECT value FROM json_each(?))", json.dumps(keys))
        self._met.update(row[0] for row in rows)
        return {entry.key: entry for row in rows if (entry := self.checked(row)) is not None}

    def put(self, entry: Entry) -> None:
        """Keep an entry; it is on file when this returns."""
        self.put_many([entry])

    def put_many(self, entries: Sequence[Entry]) -> None:
        """Keep several entries in one transaction."""
        with self._errors(), self._db:  # which commits at the end, and rolls back after any error
            self._db.execute("BEGIN")
            self._db.executemany(_INSERT, [(*entry, entry.checksum) for entry in entries])
        self.corrupt.difference_update(entry.key for entry in entries)
        self._met.update(entry.key for entry in entries)

    def entries(self) -> Iterator[Entry]:
        """Every entry that can be trusted, in the order of keys."""
        for row in self._rows("ORDER BY key"):
            entry = self.checked(row)
            if entry is not None:
                yield entry

    def look_for_damage(self) -> None:
        """Read every row, where there are some that nobody has asked for, so that `damaged` has all damaged ones."""
        if len(self) > len(self._met):
            for row in self._rows("ORDER BY key"):
                if row[0] not in self._met:
                    self.checked(row)

    def __len__(self) -> int:
        with self._errors():
            return int(self._db.execute("SELECT COUNT(*) FROM entries").fetchone()[0])

    def hold(self) -> None:
        """Keep other builds from this journal until it is closed: two at once would pay for everything twice.

        Raises:
            StageError: another build holds it.
        """
        if fcntl is None or self._held is not None:
            return
        # Not one of SQLite's own locks, and gone with the process, however it ends.
        held = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(held)
            raise StageError(
                f"another build is using journal {self.path}", "Wait for it, or name another --journal"
            ) from None
        except OSError:  # a file system without such locks
            os.close(held)
            return
        self._held = held

    def close(self) -> None:
        """Close the file, and fold the write-ahead log into it."""
        with self._errors():
            self._db.close()
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _rows(self, condition: str, *values: str) -> list[Row]:
        """Rows as they stand in the file; text that is no UTF-8 comes with marks in place of its bytes."""
        query = f"{SELECT_ENTRIES} {condition}"
        with self._errors():
            try:
                return self._db.execute(query, values).fetchall()
            except sqlite3.OperationalError as error:
                if "decode" not in str(error):
                    raise
            self._db.text_factory = lambda data: data.decode("utf-8", "replace")
            try:
                return self._db.execute(query, values).fetchall()
            finally:
                self._db.text_factory = str

    def checked(self, row: Row) -> Entry | None:
        """The entry of a row as SELECT_ENTRIES gives it, or None where it is damaged, which is noted."""
        *values, settled, about, checksum = row
        entry = Entry(*values, bool(settled), about)  # type: ignore[call-arg,arg-type]
        try:
            if entry.checksum == checksum:
                return entry
        except TypeError:  # not even the types are right
            pass
        self.damaged.add(str(entry.key))
        self.corrupt.add(str(entry.key))
        return None

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise StageError(f"journal {self.path}: {error}", self._remedy(str(error))) from error

    def _remedy(self, error: str) -> str:
        if "full" in error:
            return "Free some space and run the same command again"
        if "malformed" in error:
            salvage = shlex.join(["python", "-m", "dataset_builder.journal", "salvage", str(self.path), "NEW.sqlite"])
            return f"Save what can be read: {salvage}"
        return "Name another file"


def export_journal(journal: str | Path, target: str | Path) -> tuple[int, int]:
    """Write every entry that can be trusted to one zstd Parquet file, a small fraction of the journal's size.

    Returns:
        Number of entries written, and of damaged rows that were left out.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not Path(journal).is_file():
        raise StageError(f"{journal} does not exist", "Name the journal that a build has written")
    with Journal(journal) as source:
        entries = list(source.entries())
        damaged = len(source) - len(entries)
    table = pa.table({name: [getattr(entry, name) for entry in entries] for name in _NAMES})
    temporary = Path(f"{target}.tmp")
    temporary.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, temporary, compression="zstd", compression_level=19)
    temporary.replace(target)
    return len(entries), damaged


def import_journal(journal: str | Path, source: str | Path) -> int:
    """Add the entries of an exported Parquet file to a journal; entries that it already has stay as they are.

    Returns:
        Number of entries added.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        parquet = pq.ParquetFile(source)
        if parquet.schema_arrow.names != _NAMES:
            raise StageError(f"{source} is no exported journal (columns: {', '.join(parquet.schema_arrow.names)})")
    except (pa.ArrowInvalid, FileNotFoundError) as error:
        raise StageError(f"{source} cannot be read: {' '.join(str(error).split())}") from None
    added = 0
    with Journal(journal) as target:
        for batch in parquet.iter_batches(BATCH_ROWS):
            entries = [Entry(**row) for row in batch.to_pylist()]
            known = target.get_many([entry.key for entry in entries])
            new = [entry for entry in entries if entry.key not in known]
            target.put_many(new)
            added += len(new)
    return added


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: export, import or salvage."""
    parser = argparse.ArgumentParser(prog="python -m dataset_builder.journal", description=__doc__.split("\n")[0])
    parser.add_argument("action", choices=["export", "import", "salvage"])
    parser.add_argument("journal", help="the SQLite journal of a build")
    parser.add_argument("other", help="the Parquet file to write or to read; the new journal of what is salvaged")
    options = parser.parse_args(arguments)
    if options.action == "salvage":
        from dataset_builder.salvage import salvage_journal

        copied, unread = salvage_journal(options.journal, options.other)
        print(f"copied {copied:,} replies; {unread / 16**4:.1%} of the keys' range could not be read")
        return
    if options.action == "import":
        print(f"imported {import_journal(options.journal, options.other):,} replies")
        return
    written, damaged = export_journal(options.journal, options.other)
    print(f"exported {written:,} replies")
    if damaged:
        print(f"warning: {damaged:,} damaged rows of {options.journal} were left out", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(run_command(main))
