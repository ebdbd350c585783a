"""A file, folder or Hub dataset of ads -> a stream of rows, one at a time, whatever is wrong with some of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bulk_files import (
    KINDS,
    columns_of,
    csv_rows,
    is_of_ads,
    kind_of,
    open_text,
    parquet_metadata,
    parquet_rows,
    readable,
    rows_or_problems,
)
from skill_finder import MAX_CHARS, SkillFinderError

# Rows of Parquet: few, for each may be of any length.
READ_AT_ONCE = 64
# Unbuffered, a whole row group would be read at once: a million ads as pandas writes them.
READ_BYTES = 1024**2
# JSON may hold half of a pair ("\\ud83d"), which neither tokenizers nor UTF-8 take.
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Row:
    """One ad. `text` is None where there is none to read; `error` then says why."""

    text: str | None
    key: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class AdSource:
    """Where ads come from: local files, or a dataset on the Hub when there is no such file."""

    place: str
    text_column: str
    key_column: str | None = None
    split: str = "train"

    @property
    def files(self) -> list[Path]:
        """The local files, in a stable order; empty for a Hub dataset."""
        path = Path(self.place)
        if path.is_dir():
            return sorted(file for file in path.rglob("*") if is_of_ads(file, path))
        return [path] if path.exists() else []

    @property
    def is_parquet(self) -> bool:
        """Whether rows can be reached by number without reading those before."""
        return all(kind_of(file) == ".parquet" for file in self.files)

    def state(self) -> list[Any]:
        """What changes when the ads do: path, bytes and time of each file, or the Hub's name and commit."""
        found = [(file.resolve(), file.stat()) for file in self.files]
        return [[str(file), stat.st_size, stat.st_mtime_ns] for file, stat in found] or [self.place, self.commit]

    def check(self) -> None:
        """Look at the columns of every file before the work begins.

        Raises:
            SkillFinderError: as `rows`.
        """
        for file in self.files:
            self._check_file(file)
        next(self.rows(), None)

    def rows(self, start: int = 0) -> Iterator[Row]:
        """Rows from number `start` on.

        Raises:
            SkillFinderError: nothing there, an unknown kind of file, or no such column.
        """
        files = self.files
        if not files and Path(self.place).is_dir():
            raise SkillFinderError(f"the folder {self.place} holds none of {', '.join(KINDS)}")
        if not files:
            yield from self._rows_on_hub(start)
            return
        to_skip = start
        for file in files:
            kind = kind_of(file)
            if kind == ".parquet" and to_skip >= (count := parquet_metadata(file).num_rows):
                to_skip -= count
                continue
            self._check_file(file)
            if kind == ".parquet":
                rows, to_skip = self._rows_of_parquet(file, to_skip), 0
            else:
                rows = self._rows_of_csv(file) if ".csv" in kind else self._rows_of_jsonl(file)
            with readable(file):
                for row in rows:
                    if to_skip:
                        to_skip -= 1
                        continue
                    yield row

    def count(self) -> int | None:
        """How many rows there are; None for a Hub dataset that does not say."""
        files = self.files
        if not files:
            split = (self._stream.info.splits or {}).get(self.split)
            return split.num_examples or None if split else None
        if self.is_parquet:
            return sum(int(parquet_metadata(file).num_rows) for file in files)
        return sum(1 for _ in self.rows())

    def _rows_of_parquet(self, file: Path, start: int) -> Iterator[Row]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pq.ParquetFile(file, buffer_size=READ_BYTES, pre_buffer=False)
        columns = list(dict.fromkeys([self.text_column, *([self.key_column] if self.key_column else [])]))
        first = 0
        while first < table.num_row_groups and start >= table.metadata.row_group(first).num_rows:
            start -= table.metadata.row_group(first).num_rows
            first += 1
        groups = range(first, table.num_row_groups)
        try:
            for batch in table.iter_batches(READ_AT_ONCE, row_groups=groups, columns=columns):
                for values in parquet_rows(batch.slice(start)):
                    yield self._row(values)
                start = max(0, start - batch.num_rows)
        except pa.ArrowException as error:
            raise SkillFinderError(f"{file} cannot be read to its end ({error})") from None

    def _rows_of_csv(self, file: Path) -> Iterator[Row]:
        with csv_rows(file) as reader:
            for values in rows_or_problems(reader):
                if isinstance(values, str):
                    yield Row(None, None, values)
                    continue
                row = self._row(values)
                # A comma outside quotes cuts the text: what is left of it is not the ad.
                more = any(cell.strip() for cell in values.get(None) or ())  # type: ignore[call-overload]  # cells that have no name
                yield Row(None, row.key, f"line {reader.line_num} has more cells than the header") if more else row

    def _rows_of_jsonl(self, file: Path) -> Iterator[Row]:
        with open_text(file) as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    values = json.loads(line)
                except (ValueError, RecursionError):  # also a number of thousands of digits
                    yield Row(None, None, f"line {number} is not JSON that can be read")
                    continue
                fields = values if isinstance(values, dict) else {}
                row = self._row(fields)
                is_whole = self.text_column in fields
                yield row if is_whole else Row(None, row.key, f"line {number} has no field {self.text_column!r}")

    @cached_property
    def commit(self) -> str:
        """The commit that the name of a Hub dataset means now.

        Raises:
            SkillFinderError: the Hub knows no such dataset, or does not answer.
        """
        name, _, revision = self.place.partition("@")
        if name.count("/") != 1 or name.startswith((".", "/", "~")) or kind_of(Path(name)):
            raise SkillFinderError(f"{self.place} is neither a file, a folder nor a dataset on the Hub")
        from huggingface_hub import HfApi

        try:
            return str(HfApi().dataset_info(name, revision=revision or None).sha)
        except Exception as error:  # of several libraries, whose error types have no common parent
            raise SkillFinderError(f"cannot open the dataset {self.place} ({type(error).__name__})") from None

    @cached_property
    def _stream(self) -> Any:
        """The split of the Hub dataset, of which nothing is read yet.

        Raises:
            SkillFinderError: `datasets` is not installed, or the dataset or split is not there.
        """
        commit = self.commit
        try:
            from datasets import load_dataset
        except ImportError:
            raise SkillFinderError("a dataset on the Hub needs datasets: pip install datasets") from None
        try:
            return load_dataset(self.place.partition("@")[0], revision=commit, split=self.split, streaming=True)
        except Exception as error:
            raise SkillFinderError(f"cannot open the dataset {self.place} ({_in_short(error)})") from None

    def _rows_on_hub(self, start: int) -> Iterator[Row]:
        stream, number = self._stream, start
        try:
            for number, values in enumerate(stream.skip(start), start):
                if number == start:
                    self._check_columns(list(values), self.place)
                yield self._row(values)
        except SkillFinderError:
            raise
        except Exception as error:
            raise SkillFinderError(f"{self.place} cannot be read beyond row {number} ({_in_short(error)})") from None

    def _row(self, values: dict[str, Any]) -> Row:
        key = values.get(self.key_column) if self.key_column else None
        key = None if key is None else _HALF_CHARACTER.sub("\ufffd", str(key))
        text = values.get(self.text_column)
        if text is None:
            return Row(None, key, "no text")
        if not isinstance(text, str):
            return Row(None, key, f"the text is a {type(text).__name__}")
        if len(text) > MAX_CHARS:
            # Refused here, so that a part of the output never waits for such texts.
            return Row(None, key, f"a text of {len(text):,} characters is too long; the limit is {MAX_CHARS:,}")
        return Row(_HALF_CHARACTER.sub("\ufffd", text), key)

    def _check_file(self, file: Path) -> None:
        found = columns_of(file)
        if found is not None:
            self._check_columns(found, file)

    def _check_columns(self, found: list[str], file: Path | str) -> None:
        for column in (self.text_column, self.key_column):
            if column and column not in found:
                names = ", ".join(found)[:300] or "none"
                raise SkillFinderError(f"{file} has no column {column!r} (found: {names})")
            if column and found.count(column) > 1:
                raise SkillFinderError(f"{file} has {found.count(column)} columns {column!r}: rename all but one")


def _in_short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
