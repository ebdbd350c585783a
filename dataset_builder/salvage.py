"""A journal that SQLite calls malformed -> a new one with every reply that can be read and trusted."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from dataset_builder.contract import StageError
from dataset_builder.journal import BATCH_ROWS, SELECT_ENTRIES, Entry, Journal


def salvage_journal(damaged: str | Path, target: str | Path) -> tuple[int, int]:
    """Copy the entries that can be read and trusted from a damaged SQLite file to a journal.

    Keys are looked up by their first four digits: a page that cannot be read costs those that share them.

    Returns:
        Number of entries copied, and of the 65,536 beginnings of keys that could not be read.

    Raises:
        StageError: no such file, the same file, or nothing in it can be read.
    """
    damaged = Path(damaged)
    if not damaged.is_file() or damaged.resolve() == Path(target).resolve():
        raise StageError(f"{damaged} is not there, or is the new journal itself", "Name two files")
    copied = unread = 0
    entries: list[Entry] = []
    beginnings = [f"{number:04x}" for number in range(16**4)]
    with closing(sqlite3.connect(f"{damaged.resolve().as_uri()}?mode=ro", uri=True)) as source, Journal(target) as new:
        source.text_factory = lambda data: data.decode("utf-8", "replace")
        for beginning in beginnings:
            try:
                rows = source.execute(
                    f"{SELECT_ENTRIES} WHERE key >= ? AND key < ?", (beginning, f"{beginning}g")
                ).fetchall()
            except sqlite3.DatabaseError as error:
                unread, last = unread + 1, error
                continue
            entries += [entry for row in rows if (entry := new.checked(row)) is not None]
            if len(entries) >= BATCH_ROWS:
                new.put_many(entries)
                copied, entries = copied + len(entries), []
        new.put_many(entries)
    if unread == len(beginnings):
        raise StageError(f"nothing of {damaged} can be read ({last})", "Take an earlier copy, or an exported one")
    return copied + len(entries), unread
