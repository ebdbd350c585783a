"""Files of ads, packed or not -> their columns and what they hold, whatever wrote them."""

from __future__ import annotations

import codecs
import csv
import gzip
import itertools
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from skill_finder import SkillFinderError

KINDS = (".parquet", ".csv", ".jsonl", ".csv.gz", ".jsonl.gz")
# Fields may be left out where they are empty; one that none of so many lines has is misspelt.
FIRST_LINES = 1000
# A CSV cell longer than this is a broken quote, not an ad.
MAX_CELL_CHARS = 16 * 1024**2
# Of a broken cell: its last quotation mark closes it, for a delimiter or the end of the line comes next.
_CLOSES = re.compile(r'"\s*(?:,(?!\s)|,?\s*\Z)')
_AS_WINDOWS = "as-windows"  # what open does with bytes that are no UTF-8


def kind_of(file: Path) -> str:
    """The ending of the file among `KINDS`, "" for another."""
    return next((kind for kind in KINDS if file.name.lower().endswith(kind)), "")


def is_of_ads(file: Path, folder: Path) -> bool:
    """Whether a file in a folder holds ads: not what tools keep in hidden folders, nor a folder called x.parquet."""
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    return bool(kind_of(file)) and not hidden and file.is_file()


def columns_of(file: Path) -> list[str] | None:
    """The names of a file's columns; None of a JSONL file whose first lines have no fields.

    Raises:
        SkillFinderError: of another kind, or it cannot be read.
    """
    with readable(file):
        kind = kind_of(file)
        if kind == ".parquet":
            return list(parquet_metadata(file).schema.to_arrow_schema().names)
        if kind in (".csv", ".csv.gz"):
            with csv_rows(file) as reader:
                return list(reader.fieldnames or ())
        if kind in (".jsonl", ".jsonl.gz"):
            return _fields_of(file) or None
    raise SkillFinderError(f"{file} is not one of {', '.join(KINDS)}")


@contextmanager
def readable(file: Path) -> Iterator[None]:
    """Say of which file it is that reading breaks off."""
    try:
        yield
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise SkillFinderError(f"{file} cannot be read to its end ({error})") from None


class CsvRows(csv.DictReader):  # type: ignore[type-arg]  # takes none at run time before Python 3.12
    """The rows of a CSV file; `of_row` holds the lines read since the row before."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.of_row: list[str] = []
        super().__init__(self._noted(lines), strict=True)

    def _noted(self, lines: Iterable[str]) -> Iterator[str]:
        for line in lines:
            # A zero byte is no text, and the csv module stops at it.
            self.of_row.append(line.replace("\0", ""))
            yield self.of_row[-1]

    def __next__(self) -> dict[Any, Any]:
        self.of_row.clear()
        return super().__next__()


@contextmanager
def csv_rows(file: Path) -> Iterator[CsvRows]:
    """The rows of a CSV file.

    Raises:
        SkillFinderError: a quotation mark is never closed, where a broken row ends cannot be told, or the header cannot
            be read.
    """
    # The csv module's limit is the process's, so it is put back.
    before = csv.field_size_limit(MAX_CELL_CHARS)
    try:
        with open_text(file) as lines:
            reader = CsvRows(lines)
            try:
                yield reader
            except csv.Error as error:
                problem = "a quotation mark is never closed" if "end of data" in str(error) else error
                # The line where the row begins that cannot be read.
                raise SkillFinderError(f"{file} line {reader.line_num + 1}: {problem}") from None
    finally:
        csv.field_size_limit(before)


def rows_or_problems(reader: CsvRows) -> Iterator[dict[str, Any] | str]:
    """Each row of `csv_rows`, or what is wrong with it: a quotation mark that is closed within its cell.

    Raises:
        csv.Error: the broken cell may go on in the next line, which would be read as a row of its own.
    """
    while True:
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # In the header, or up to the end of the data.
            if not reader.line_num or "expected after" not in str(error):
                raise
            if not _is_closed("".join(reader.of_row)):
                raise csv.Error(
                    "a quotation mark within a cell is not doubled, so where its row ends is unknown"
                ) from None
            # The csv module goes on in the next line; rows that are within the quotation marks are told as lines.
            first, reader.line_num = reader.line_num + 1, reader.reader.line_num
            lines = f"line {first}" if first == reader.line_num else f"lines {first} to {reader.line_num}"
            yield f"{lines}: {error}"
        else:
            yield values


def _is_closed(broken: str) -> bool:
    """Whether the broken row ends with these lines: not in "24" monitor", whose cell goes on in the next line."""
    last = broken.rfind('"')
    return not broken[:last].endswith(",") and bool(_CLOSES.match(broken, last))


def parquet_metadata(file: Path) -> Any:
    """What a Parquet file says of itself.

    Raises:
        SkillFinderError: it is none.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_metadata(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise SkillFinderError(f"{file} is not a Parquet file ({error})") from None


def parquet_rows(batch: Any) -> list[dict[str, Any]]:
    """The batch's rows; where a string is no UTF-8, as some writers leave it, its bytes as well as they can be read."""
    import pyarrow as pa

    try:
        return list(batch.to_pylist())
    except UnicodeDecodeError:
        to_bytes = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary()}
        columns = [
            column.view(to_bytes[column.type]) if column.type in to_bytes else column for column in batch.columns
        ]
        rows = pa.RecordBatch.from_arrays(columns, batch.schema.names).to_pylist()
        return [{name: _decoded(value) for name, value in row.items()} for row in rows]


def _decoded(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _fields_of(file: Path) -> list[str]:
    """Names of the fields of the first lines of a JSONL file."""
    found: dict[str, None] = {}
    with open_text(file) as lines:
        for line in itertools.islice(lines, FIRST_LINES):
            with suppress(ValueError, RecursionError):
                values = json.loads(line)
                found.update(dict.fromkeys(values if isinstance(values, dict) else ()))
    return list(found)


def open_text(file: Path) -> IO[str]:
    """UTF-8 text, or UTF-16 with its mark, packed or not; bytes that are no UTF-8 are read as Windows writes them."""
    is_packed = file.name.lower().endswith(".gz")
    with gzip.open(file) if is_packed else file.open("rb") as bytes_of_file:
        is_utf16 = bytes_of_file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    encoding, errors = ("utf-16", "replace") if is_utf16 else ("utf-8-sig", _AS_WINDOWS)
    if is_packed:
        return gzip.open(file, "rt", encoding=encoding, errors=errors, newline="")
    return file.open(encoding=encoding, errors=errors, newline="")


def _as_windows(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("cp1252", "replace"), error.end


codecs.register_error(_AS_WINDOWS, _as_windows)
