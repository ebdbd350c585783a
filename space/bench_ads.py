"""Files of sentences -> ads made of them, the same every time: what bench.py lets every system read."""

from __future__ import annotations

import csv
import gzip
import random
from collections.abc import Sequence
from pathlib import Path

from dataset_builder.contract import StageError
from passages import split_passages

RELEASES = Path(__file__).resolve().parent.parent / "dataset_builder" / "releases"
SENTENCES_AN_AD = 44
MOST_ADS = 2000


def read_sentences(path: Path) -> list[str]:
    """Sentences of a CSV or Parquet file with a column `sentence`, or of a text file, packed or not, one a line.

    Raises:
        StageError: no such file, or no such column.
    """
    if not path.is_file():
        raise StageError(f"{path} does not exist", "Give files of sentences with --sentences")
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        _check_column(path, table.column_names)
        return list(dict.fromkeys(table["sentence"].to_pylist()))
    opened = (
        gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8-sig", newline="")
    )
    with opened as lines:
        if path.suffix == ".csv":
            reader = csv.DictReader(lines)
            _check_column(path, reader.fieldnames or ())
            return list(dict.fromkeys(row["sentence"] for row in reader))
        return [line.strip() for line in lines if line.strip()]


def _check_column(path: Path, columns: Sequence[str]) -> None:
    if "sentence" not in columns:
        raise StageError(f"{path} has no column 'sentence'")


def released_sentences() -> Path:
    """The sentences of the newest dataset in this repository.

    Raises:
        StageError: there is none.
    """
    found = list(RELEASES.glob("v*.*.*/pairs/train.parquet"))
    if not found:
        raise StageError(f"{RELEASES} holds no dataset", "Give files of sentences with --sentences")
    return max(found, key=lambda path: [int(number) for number in path.parts[-3][1:].split(".")])


def most_ads(sources: Sequence[Sequence[str]]) -> int:
    """How many ads have no sentence twice, MOST_ADS at most and one at least."""
    return max(1, min(MOST_ADS, len({sentence for source in sources for sentence in source}) // SENTENCES_AN_AD))


def make_ads(sources: Sequence[Sequence[str]], count: int, seed: int = 0) -> list[str]:
    """`count` ads of 44 lines, drawn from all sources together; no sentence again before all have come.

    Raises:
        StageError: there is no sentence to draw.
    """
    chance = random.Random(seed)
    pool = list(dict.fromkeys(sentence for source in sources for sentence in source))
    if not pool:
        raise StageError("there is no sentence in the files of --sentences")
    lines: list[str] = []
    while len(lines) < count * SENTENCES_AN_AD:
        lines += chance.sample(pool, len(pool))
    starts = range(0, count * SENTENCES_AN_AD, SENTENCES_AN_AD)
    return ["\n".join(f"- {line}" for line in lines[start : start + SENTENCES_AN_AD]) for start in starts]


def passages_of(ads: Sequence[str]) -> list[str]:
    """What our splitter makes of the ads."""
    return [passage.text for ad in ads for passage in split_passages(ad)]
