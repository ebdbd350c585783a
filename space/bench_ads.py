"""Files of sentences -> ads made of them, the same every time: what bench.py lets every system read."""

from __future__ import annotations

import csv
import gzip
import random
from collections.abc import Sequence
from pathlib import Path

from dataset_builder.contract import StageError
from passages import split_passages

SENTENCES_AN_AD = 44


def read_sentences(path: Path) -> list[str]:
    """Sentences of a CSV with a column `sentence`, or of a text file, packed or not, one a line.

    Raises:
        StageError: no such file, or a CSV without that column.
    """
    if not path.is_file():
        raise StageError(f"{path} does not exist", "Give files of sentences with --sentences")
    opened = (
        gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8-sig", newline="")
    )
    with opened as lines:
        if path.suffix == ".csv":
            reader = csv.DictReader(lines)
            if "sentence" not in (reader.fieldnames or ()):
                raise StageError(f"{path} has no column 'sentence'")
            return list(dict.fromkeys(row["sentence"] for row in reader))
        return [line.strip() for line in lines if line.strip()]


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
