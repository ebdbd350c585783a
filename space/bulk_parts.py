"""Rows of ads -> part files of skills, then one Parquet file.

A part is a fixed range of rows, written under a temporary name and renamed: its presence means that its rows are done.
So a run that was killed goes on where it was, and loses or doubles nothing, whichever engine goes on with it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bulk_rows import Row
from skill_finder import SkillFinder, SkillFinderError
from skill_index import Encoder, Vectors
from skill_match import SkillMatch

PART_ROWS = 512
# Texts found at once: their passages are encoded together, sorted by length.
TEXTS_AT_ONCE = 64
# Passages and ads that come again ("We offer:", the same ad twice): 50,000 vectors of 384 are 77 MB.
VECTORS_KEPT, TEXTS_KEPT = 50_000, 20_000
RUN_FILE = "run.json"


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

    def open(self, settings: dict[str, Any], restart: bool) -> None:
        """Start, or go on with, a run of these settings.

        Raises:
            SkillFinderError: the parts that are there were made with other settings.
        """
        if restart:
            shutil.rmtree(self.folder, ignore_errors=True)
        file = self.folder / RUN_FILE
        if file.is_file():
            before = json.loads(file.read_text(encoding="utf-8"))
            changed = sorted(name for name in settings if settings[name] != before.get(name))
            if changed:
                raise SkillFinderError(
                    f"{self.folder} holds parts of a run with another {changed[0]}; add --restart to begin again"
                )
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        _write(file, json.dumps(settings, indent=1).encode())

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

    def join(self, parts: int) -> int:
        """Write the output file from `parts` parts, part by part; remove them, and return how many rows it has."""
        import pyarrow.parquet as pq

        temporary = self.out.with_name(f".{self.out.name}.{os.getpid()}.tmp")
        rows = 0
        try:
            with pq.ParquetWriter(temporary, output_schema(), compression="zstd") as writer:
                for number in range(parts):
                    table = pq.read_table(self.path(number))
                    writer.write_table(table)
                    rows += table.num_rows
            temporary.replace(self.out)
        finally:
            temporary.unlink(missing_ok=True)
        shutil.rmtree(self.folder)
        return rows


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(data)
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


class RememberingEncoder:
    """An encoder that keeps the vectors of the passages it saw last: ads of one company share half their sentences."""

    def __init__(self, encoder: Encoder, kept: int = VECTORS_KEPT) -> None:
        self._encoder = encoder
        self._kept = kept
        self._known: OrderedDict[str, Vectors] = OrderedDict()
        self.encoded = 0

    def encode(self, sentences: list[str]) -> Vectors:
        """Vectors of `sentences`, shape (sentences, dimensions); only new ones are encoded."""
        fresh = [sentence for sentence in dict.fromkeys(sentences) if sentence not in self._known]
        made = dict(zip(fresh, self._encoder.encode(fresh), strict=True)) if fresh else {}
        self.encoded += len(fresh)
        result = np.stack([made[sentence] if sentence in made else self._known[sentence] for sentence in sentences])
        for sentence in sentences:
            if sentence in made:
                self._known[sentence] = made[sentence]
            self._known.move_to_end(sentence)
        while len(self._known) > self._kept:
            self._known.popitem(last=False)
        return result


class PartWorker:
    """Turns rows into output rows with one finder; remembers ads and passages that come again."""

    def __init__(self, finder: SkillFinder, threshold: float | None = None, top_k: int | None = None) -> None:
        self.finder = finder
        self.encoder = RememberingEncoder(finder.encoder)
        self.finder.encoder = self.encoder
        self.threshold = threshold
        self.top_k = top_k
        self._found: OrderedDict[str, list[dict[str, Any]]] = OrderedDict()

    def work(self, rows: Sequence[Row], first_row: int) -> list[dict[str, Any]]:
        """Output rows for `rows`, the first of which is row `first_row` of the input."""
        errors = self._find_new([row.text for row in rows if row.text is not None])
        out = []
        for number, row in enumerate(rows, first_row):
            error = row.error or (errors.get(row.text) if row.text is not None else None)
            skills = [] if error or row.text is None else self._found[row.text]
            out.append({"row": number, "key": row.key, "skills": skills, "error": error})
        while len(self._found) > TEXTS_KEPT:
            self._found.popitem(last=False)
        return out

    def _find_new(self, texts: Sequence[str]) -> dict[str, str]:
        """Find the skills of texts not seen lately; returns what went wrong, by text."""
        errors: dict[str, str] = {}
        fresh = [text for text in dict.fromkeys(texts) if text not in self._found]
        for text in texts:
            if text in self._found:
                self._found.move_to_end(text)
        for start in range(0, len(fresh), TEXTS_AT_ONCE):
            chunk = fresh[start : start + TEXTS_AT_ONCE]
            try:
                found = self._matches(chunk)
            except SkillFinderError:
                found = []
                for text in chunk:
                    try:
                        found += self._matches([text])
                    except SkillFinderError as error:
                        errors[text] = str(error)
                        found.append([])
            self._found.update(zip(chunk, map(_as_rows, found), strict=True))
        return errors

    def _matches(self, texts: Sequence[str]) -> list[list[SkillMatch]]:
        return self.finder.find_skills_batch(texts, top_k=self.top_k, threshold=self.threshold, narrow=False)


def _as_rows(matches: Sequence[SkillMatch]) -> list[dict[str, Any]]:
    return [
        {
            "uri": match.uri,
            "label": match.label,
            "type": match.type,
            "score": match.score,
            "start": match.evidence[0].start,
            "end": match.evidence[0].end,
        }
        for match in matches
    ]


def in_parts(rows: Iterator[Row], size: int = PART_ROWS) -> Iterator[list[Row]]:
    """Lists of `size` rows, the last one shorter."""
    part: list[Row] = []
    for row in rows:
        part.append(row)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part
