r"""How much memory space.bulk holds over very many rows, and how fast it is: writes results/bulk.json.

    python -m space.bench_bulk model_card/releases/v4.1.0 --sentences usajobs/sentences.txt.gz --rows 10000000 \
        --into README.md

Each row is one sentence. Some come often and most seldom, as the lines of real ads do: the sentence at place n is drawn
with a weight of 1 / n (Zipf's law). A tenth of the rows is read first, then all, each in a fresh process: memory that
grew with the rows would show. Every row of the output is checked: its number, its key, and that one text has the same
skills wherever it stands.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import bulk
from bench_ads import read_sentences, released_sentences
from dataset_builder.contract import StageError, code_version, run_command, write_atomically
from dataset_builder.markdown_parts import put_part
from encoders import BACKENDS
from peak_memory import peak_memory_bytes
from skill_finder import SkillFinder, SkillFinderError

PART = "bulk"  # of README
ROWS, DISTINCT = 10_000_000, 20_000
ROWS_AT_ONCE = 65_536
TEXT, KEY = "description", "id"


@dataclass(frozen=True)
class BulkRun:
    """What one run did. `differing`: rows whose skills are not those that their text had before."""

    rows: int
    distinct: int
    seconds: float
    peak_memory_bytes: int
    output_bytes: int
    differing: int

    @property
    def rows_per_s(self) -> float:
        """Rows a second, reading, finding and writing."""
        return self.rows / self.seconds


def drawn(texts: int, rows: int, seed: int = 0) -> Iterator[NDArray[np.int64]]:
    """Numbers of texts, ROWS_AT_ONCE at a time: text n with a weight of 1 / (n + 1)."""
    chance = np.random.default_rng(seed)
    weights = 1 / np.arange(1, texts + 1)
    for start in range(0, rows, ROWS_AT_ONCE):
        yield chance.choice(texts, min(ROWS_AT_ONCE, rows - start), p=weights / weights.sum())


def write_rows(path: Path, texts: Sequence[str], rows: int) -> None:
    """A Parquet file of `rows` rows, one of `texts` and a key each."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    of_texts, first = pa.array(texts), 0
    with pq.ParquetWriter(path, pa.schema({KEY: pa.string(), TEXT: pa.string()}), compression="zstd") as writer:
        for numbers in drawn(len(texts), rows):
            keys = pa.array(np.arange(first, first + len(numbers))).cast(pa.string())
            writer.write_table(pa.table({KEY: keys, TEXT: of_texts.take(pa.array(numbers))}))
            first += len(numbers)


def read_in_bulk(source: Path, out: Path, options: Sequence[str]) -> None:
    """What the command does."""
    bulk.main([str(source), str(out), "--text-column", TEXT, "--key-column", KEY, *options])


def count_differing(out: Path, texts: int, rows: int) -> int:
    """Check that no row is lost, doubled or in another's place; count those whose skills are not their text's.

    Raises:
        StageError: a row is missing, is there twice, or has an error or another's key.
    """
    import pyarrow.parquet as pq

    known: dict[int, tuple[str, ...]] = {}
    first = differing = 0
    table = pq.ParquetFile(out)
    numbers = (int(number) for chunk in drawn(texts, rows) for number in chunk)
    for batch in table.iter_batches(ROWS_AT_ONCE, columns=["row", "key", "skills", "error"]):
        expected = np.arange(first, first + batch.num_rows)
        same = np.array_equal(batch["row"].to_numpy(), expected) and batch["error"].null_count == batch.num_rows
        if not same or batch["key"].to_pylist() != list(map(str, expected.tolist())):
            raise StageError(f"rows {first:,} to {first + batch.num_rows - 1:,} of {out} are not those of the input")
        for skills in batch["skills"].to_pylist():
            uris = tuple(skill["uri"] for skill in skills)
            differing += known.setdefault(next(numbers), uris) != uris
        first += batch.num_rows
    if first != rows:
        raise StageError(f"{out} has {first:,} rows instead of {rows:,}")
    return differing


def measure(texts: Sequence[str], rows: int, options: Sequence[str], folder: Path) -> BulkRun:
    """Write rows into `folder`, find their skills in a fresh process, and check the output."""
    source, out = folder / f"{rows}.parquet", folder / f"{rows}-skills.parquet"
    write_rows(source, texts, rows)
    started = time.perf_counter()
    peak = peak_memory_bytes(read_in_bulk, source, out, list(options))
    seconds = time.perf_counter() - started
    distinct = len(np.unique(np.concatenate([np.unique(part) for part in drawn(len(texts), rows)])))
    return BulkRun(rows, distinct, seconds, peak, out.stat().st_size, count_differing(out, len(texts), rows))


def report(record: dict[str, Any]) -> str:
    """The figures as a Markdown table with a line before it."""
    lines = [
        f"Rows of one sentence each, model {record['model']} ({record['backend']}), {record['cpu_cores']} CPU cores:",
        "",
        "| rows | different texts | rows/s | minutes | memory at most | output |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for run in record["runs"]:
        cells = (
            f"{run['rows']:,}",
            f"{run['distinct']:,}",
            f"{run['rows'] / run['seconds']:,.0f}",
            f"{run['seconds'] / 60:.1f}",
            f"{run['peak_memory_bytes'] / 1e6:,.0f} MB",
            f"{run['output_bytes'] / 1e6:,.0f} MB",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure a tenth of the rows, then all."""
    given = _parser().parse_args(arguments)
    if given.rows < 10 or given.distinct < 1:
        raise StageError(f"--rows must be at least 10 and --distinct 1, got {given.rows} and {given.distinct}")
    files = given.sentences or [released_sentences()]
    texts = list(dict.fromkeys(text for file in files for text in read_sentences(file)))[: given.distinct]
    if not texts:
        raise StageError("there is no sentence in the files of --sentences")
    try:
        finder = SkillFinder.from_pretrained(given.model, given.backend)
    except SkillFinderError as error:
        raise StageError(str(error)) from None
    options = ["--model", str(given.model), "--backend", finder.backend]
    with tempfile.TemporaryDirectory(dir=given.scratch) as scratch:
        runs = [measure(texts, rows, options, Path(scratch)) for rows in (given.rows // 10, given.rows)]
    record = {
        "schema_version": 1,
        "model": given.model.name,
        "backend": finder.backend,
        "weights_sha256": finder.weights_sha256,
        "code_version": code_version(),
        "cpu_cores": len(os.sched_getaffinity(0)),
        "runs": [asdict(run) for run in runs],
    }
    write_atomically(given.out, json.dumps(record, indent=2) + "\n")
    if given.into:
        put_part(given.into, PART, report(record))
    print(report(record))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m space.bench_bulk", description="Measure space.bulk on many rows.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--sentences", type=Path, nargs="*", help="default: the released dataset's")
    parser.add_argument("--rows", type=int, default=ROWS, help="default: %(default)s")
    parser.add_argument("--distinct", type=int, default=DISTINCT, help="different texts at most (default: %(default)s)")
    parser.add_argument("--backend", choices=BACKENDS, default="auto")
    parser.add_argument("--scratch", type=Path, help="folder for the rows and what is found (default: the system's)")
    parser.add_argument("--out", type=Path, default=Path("results/bulk.json"))
    parser.add_argument("--into", metavar="MD", help="put the table between its markers")
    return parser


if __name__ == "__main__":
    sys.exit(run_command(main))
