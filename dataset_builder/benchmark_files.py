"""Benchmark CSV files -> sentences with their sets of gold labels, by the protocol of Decorte et al. 2023.

Rows labelled LABEL NOT PRESENT or UNDERSPECIFIED are dropped, labels stripped, rows of one sentence grouped into a
set of labels, and sentences left empty dropped: 338 / 262 / 326 test queries for TECH / HOUSE / TECHWOLF.
"""

from __future__ import annotations

import csv
import textwrap
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from dataset_builder.contract import StageError

UNUSABLE_LABELS = frozenset({"LABEL NOT PRESENT", "UNDERSPECIFIED"})
TEST_FILES = ("*_test.csv", "test.csv")


@dataclass(frozen=True)
class GoldSentence:
    """A sentence and the labels it asks for, in order of first mention."""

    sentence: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class BenchmarkFile:
    """A benchmark CSV under the protocol.

    `queries` have gold labels; `without_skill` are the sentences whose every row was dropped.
    """

    queries: tuple[GoldSentence, ...]
    without_skill: tuple[str, ...]
    rows: int
    dropped_rows: int

    @property
    def sentences(self) -> tuple[str, ...]:
        """Every sentence, those without a skill last."""
        return (*(query.sentence for query in self.queries), *self.without_skill)

    def without(self, keys: Collection[str]) -> BenchmarkFile:
        """The file without the sentences of these keys (see `text_key`)."""
        queries = tuple(query for query in self.queries if text_key(query.sentence) not in keys)
        rest = tuple(sentence for sentence in self.without_skill if text_key(sentence) not in keys)
        return replace(self, queries=queries, without_skill=rest)


def text_key(text: str) -> str:
    """A text without case, spacing and punctuation: how sentences are compared when benchmarks are kept out."""
    return "".join(character for character in text.casefold() if character.isalnum())


def test_files_in(folder: Path) -> list[Path]:
    """The test files of a folder by their names: tech_test.csv and its like, and test.csv."""
    return sorted(file for pattern in TEST_FILES for file in folder.glob(pattern))


def read_validation_file(path: str | Path) -> BenchmarkFile:
    """Read a CSV to choose by: without the sentences that a test file beside it holds too (TECH shares some).

    Raises:
        StageError: as `read_benchmark_file`, for this file and the test files; or no sentence with a label is left.
    """
    path = Path(path)
    content = read_benchmark_file(path)
    tests = [read_benchmark_file(file) for file in test_files_in(path.parent)]
    kept = content.without({text_key(sentence) for test in tests for sentence in test.sentences})
    if not kept.queries:
        raise StageError(f"{path} has no sentence that does not stand in a test file beside it")
    return kept


def read_benchmark_file(
    path: str | Path, sentence_column: str = "sentence", label_column: str = "label"
) -> BenchmarkFile:
    """Read a CSV with one (sentence, label) a row.

    Raises:
        StageError: no such file, not UTF-8, a column is missing, a row without sentence, or no row is left.
    """
    path = Path(path)
    if not path.is_file():
        raise StageError(f"{path} does not exist", "Give a CSV with the columns 'sentence' and 'label'")
    try:
        rows = list(_rows_of(path, sentence_column, label_column))
    except UnicodeDecodeError as error:
        raise StageError(f"{path} is not UTF-8 text ({error.reason})") from None
    except csv.Error as error:
        raise StageError(f"{path} is not a CSV file ({error})") from None
    return group_rows(rows, str(path))


def _rows_of(path: Path, sentence_column: str, label_column: str) -> Iterator[tuple[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        for column in (sentence_column, label_column):
            if column not in (reader.fieldnames or ()):
                found = textwrap.shorten(", ".join(reader.fieldnames or ()) or "none", 300)
                raise StageError(f"{path} has no column {column!r} (found: {found})")
        for row in reader:
            sentence = row[sentence_column]
            if not (sentence or "").strip():
                raise StageError(f"{path} line {reader.line_num}: column {sentence_column!r} is empty")
            yield sentence, row[label_column]


def group_rows(rows: list[tuple[str, str]], where: str) -> BenchmarkFile:
    """Apply the protocol to (sentence, label) rows; `where` names them in errors.

    Raises:
        StageError: no usable row is left.
    """
    labels_of: dict[str, dict[str, None]] = {}
    dropped = 0
    for sentence, label in rows:
        labels = labels_of.setdefault(sentence, {})
        stripped = (label or "").strip()
        if not stripped or stripped in UNUSABLE_LABELS:
            dropped += 1
        else:
            labels[stripped] = None
    queries = tuple(GoldSentence(sentence, tuple(labels)) for sentence, labels in labels_of.items() if labels)
    if not queries:
        raise StageError(f"{where} has no sentence with a label", "Is it a benchmark file?")
    without = tuple(sentence for sentence, labels in labels_of.items() if not labels)
    return BenchmarkFile(queries=queries, without_skill=without, rows=len(rows), dropped_rows=dropped)
