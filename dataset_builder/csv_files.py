"""Zips and folders of CSV files -> checked rows with their line numbers."""

from __future__ import annotations

import csv
import io
import re
import textwrap
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dataset_builder.contract import StageError, sha256_of_file

# Bytes that are no UTF-8 come as marks, so that their line can be named.
AS_TEXT: Any = {"encoding": "utf-8-sig", "errors": "surrogateescape", "newline": ""}
_NO_UTF8 = re.compile("[\udc80-\udcff]")


class CsvFiles:
    """The CSV files of some zips and folders by file name; of two places that have one name the first is read.

    Args:
        paths: zips and folders.

    Raises:
        StageError: a file that is no zip.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._openers: dict[str, tuple[Path, str]] = {}
        self._doubtful: dict[str, tuple[str, str]] = {}  # two files of one place that have the name
        self.used_sha256: dict[str, str] = {}
        self.paths = paths
        for path in paths:
            if path.is_dir():
                self._add([(file, "") for file in sorted(path.rglob("*.csv"))])
                continue
            try:
                with zipfile.ZipFile(path) as archive:
                    self._add([(path, name) for name in archive.namelist() if name.endswith(".csv")])
            except zipfile.BadZipFile:
                raise StageError(
                    f"{path} is not a zip file", "Give the zip as downloaded, or the folder it unpacks to"
                ) from None

    def _add(self, openers: Sequence[tuple[Path, str]]) -> None:
        """Take the files of one place whose names no place before it has."""
        found: dict[str, tuple[Path, str]] = {}
        for path, member in openers:
            name = Path(member or path).name
            before = found.setdefault(name, (path, member))
            if before != (path, member) and name not in self._openers:
                self._doubtful[name] = (before[1] or str(before[0]), member or str(path))
        self._openers = {**found, **self._openers}

    def __contains__(self, name: str) -> bool:
        return name in self._openers

    def names(self) -> list[str]:
        """File names in order."""
        return sorted(self._openers)

    def rows(self, name: str, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield (line number, row) of a CSV; the columns asked for are there.

        Raises:
            StageError: a missing column, a row of another length, another encoding or damage, with file and line; or a
                place that has two files of this name, such as a folder of two releases.
        """
        if name in self._doubtful:
            first, second = self._doubtful[name]
            raise StageError(f"there are two {name}: {first} and {second}", "Give the folder of one release")
        path, member = self._openers[name]
        self.used_sha256[path.name] = sha256_of_file(path)
        if member:
            with zipfile.ZipFile(path) as archive:
                member_text = io.TextIOWrapper(archive.open(member), **AS_TEXT)
                yield from checked_rows(member_text, f"{path}:{member}", columns)
        else:
            with path.open(**AS_TEXT) as text:
                yield from checked_rows(text, str(path), columns)


def checked_rows(
    text: Iterable[str], where: str, columns: Sequence[str], remedy: str = "Is it an ESCO CSV file?"
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number, row) of a CSV.

    Args:
        text: its lines, opened with AS_TEXT.
        where: names it in errors.
        columns: those that it must have.
        remedy: what to do when one is missing.

    Raises:
        StageError: one is missing or is there twice; a row of another length; a quotation mark out of place, named by
            the line where its row begins; or text that is no UTF-8.
    """
    reader = csv.DictReader(_utf8(text, where), strict=True)  # or an open quote swallows the rows after it
    begins = 1  # the row that is read, which may have several lines
    try:
        names = reader.fieldnames or ()
        missing = [column for column in columns if column not in names]
        if missing:
            found = textwrap.shorten(", ".join(names) or "none", 300)
            raise StageError(f"{where} has no column {missing[0]!r} (found: {found})", remedy)
        twice = [column for column in names if column and names.count(column) > 1]
        if twice:
            raise StageError(f"{where} has {names.count(twice[0])} columns {twice[0]!r}", "Rename all but one")
        begins = reader.line_num + 1
        for row in reader:
            check_cells(row, reader.fieldnames or (), f"{where} line {reader.line_num}")
            yield reader.line_num, row
            begins = reader.line_num + 1
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise StageError(f"{where} is damaged ({error})", "Get the zip again") from None
    except csv.Error as error:
        read = reader.reader.line_num
        upto = f" (read to line {read})" if read > begins else ""
        problem = "a quotation mark is never closed" if "end of data" in str(error) else error
        raise StageError(f"{where} line {begins}: {problem}{upto}", "Is a quote missing?") from None


def _utf8(lines: Iterable[str], where: str) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        if _NO_UTF8.search(line):
            raise StageError(f"{where} line {number} is not UTF-8 text", "Save it as UTF-8")
        yield line


def check_cells(row: Mapping[Any, Any], columns: Sequence[str], where: str) -> None:
    """Refuse a row of `csv.DictReader` that is shorter or longer than its header.

    Raises:
        StageError: it is, named by `where` and the column.
    """
    missing = [column for column in columns if row[column] is None]
    if missing:
        raise StageError(f"{where}: the row ends before column {missing[0]!r}")
    if None in row:
        cells = len(columns) + len(row[None])
        problem = f"more cells than columns: {cells} cells, {len(columns)} columns, the last is {columns[-1]!r}"
        raise StageError(f"{where}: {problem}", "Is a quote missing?")
