r"""Benchmark rows with the span of each skill -> how well the narrowed evidence covers it. Writes evidence.json.

    python -m space.measure_evidence MODEL --rows tech_validation.csv house_validation.csv

For every row whose skill is in the model's index, the sentence is taken as evidence for that very skill, and the words
that narrowing keeps are compared with the words of the annotated span: precision, recall and F1 over words, averaged.
The whole sentence is measured beside it, and other strictness than the one in use.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import narrowing
from dataset_builder.benchmark_files import read_csv, read_validation_file
from dataset_builder.contract import StageError, code_version, run_command, write_atomically
from narrowing import LEAST_WORDS, STANDS_OUT, TokenVectors, words_that_show
from skill_finder import SkillFinder, SkillFinderError

STRICTNESS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Row:
    """A sentence, one of its skills, and where the annotators saw it."""

    sentence: str
    start: int
    end: int
    label: str


@dataclass(frozen=True)
class Overlap:
    """Words kept against words annotated, means over rows. `touches`: rows where they share a word."""

    precision: float
    recall: float
    f1: float
    touches: float
    share_of_sentence: float


def read_rows(path: Path) -> list[Row]:
    """Distinct rows of a benchmark CSV with columns sentence, span, sub_span and label; none that a test file holds.

    Raises:
        StageError: no such file, as `read_csv`, or only test sentences.
    """
    if not path.is_file():
        raise StageError(f"{path} does not exist", "Give tech_validation.csv and house_validation.csv")
    table = [row for _, row in read_csv(path, ("sentence", "span", "sub_span", "label"))]
    allowed = set(read_validation_file(path).sentences)
    rows = []
    for row in table:
        span = (row["sub_span"] or row["span"]).strip()
        start = row["sentence"].find(span)
        if span and start >= 0 and row["sentence"] in allowed:
            rows.append(Row(row["sentence"], start, start + len(span), row["label"].strip()))
    return list(dict.fromkeys(rows))


def overlap(rows: Sequence[Row], kept: Sequence[tuple[int, int]]) -> Overlap:
    """Compare kept places with annotated ones, word by word."""
    values = []
    for row, (start, end) in zip(rows, kept, strict=True):
        words = [found.span() for found in re.finditer(r"\S+", row.sentence)]
        ours = {word for word in words if word[0] < end and word[1] > start}
        theirs = {word for word in words if word[0] < row.end and word[1] > row.start}
        both = len(ours & theirs)
        precision, recall = both / max(len(ours), 1), both / max(len(theirs), 1)
        f1 = 2 * precision * recall / (precision + recall) if both else 0.0
        values.append((precision, recall, f1, float(both > 0), len(ours) / len(words)))
    return Overlap(*(float(value) for value in np.mean(values, axis=0)))


def measure(finder: SkillFinder, rows: Sequence[Row]) -> dict[str, Overlap]:
    """The whole sentence, and its narrowing at each strictness.

    Raises:
        SkillFinderError: the model has no token vectors, or no row fits its index.
    """
    encode_tokens = getattr(finder.encoder, "encode_tokens", None)
    number = {skill.label: i for i, skill in enumerate(finder.index.skills)}
    usable = [row for row in rows if row.label in number and len(row.sentence.split()) >= LEAST_WORDS]
    if encode_tokens is None or not usable:
        raise SkillFinderError("the model has no token vectors" if usable else "no row names a skill of the index")
    tokens: list[TokenVectors] = encode_tokens([row.sentence for row in usable])
    found = {"whole sentence": overlap(usable, [(0, len(row.sentence)) for row in usable])}
    for strictness in STRICTNESS:
        narrowing.STANDS_OUT = strictness
        places = [
            words_that_show(row.sentence, of_row, finder.index.vectors[number[row.label]]) or (0, len(row.sentence))
            for row, of_row in zip(usable, tokens, strict=True)
        ]
        found[f"{strictness} deviations" + (" (in use)" if strictness == STANDS_OUT else "")] = overlap(usable, places)
    narrowing.STANDS_OUT = STANDS_OUT
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure a model folder."""
    parser = argparse.ArgumentParser(prog="python -m space.measure_evidence", description="Measure narrowed evidence.")
    parser.add_argument("model", type=Path, help="model folder with a label index")
    parser.add_argument("--rows", type=Path, nargs="+", required=True, help="benchmark CSVs with a column span")
    parser.add_argument("--out", type=Path, default=Path("results/evidence.json"))
    given = parser.parse_args(arguments)
    rows = [row for file in given.rows for row in read_rows(file)]
    try:
        finder = SkillFinder.from_pretrained(given.model)
        results = measure(finder, rows)
    except SkillFinderError as error:
        raise StageError(str(error)) from None
    about = {"model": given.model.resolve().name, "backend": finder.backend, "code_version": code_version()}
    about["weights_sha256"] = finder.weights_sha256
    figures = {name: asdict(value) for name, value in results.items()}
    write_atomically(given.out, json.dumps({"schema_version": 1, **about, "evidence": figures}, indent=2) + "\n")
    sys.stdout.write(report(results) + "\n")


def report(results: Mapping[str, Overlap]) -> str:
    """The figures as a Markdown table."""
    lines = ["| evidence | precision | recall | F1 | touches | share of the sentence |", "| --- |" + " ---: |" * 5]
    for name, value in results.items():
        cells = (value.precision, value.recall, value.f1, value.touches, value.share_of_sentence)
        lines.append(f"| {name} | " + " | ".join(f"{100 * cell:.1f}%" for cell in cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(run_command(main))
