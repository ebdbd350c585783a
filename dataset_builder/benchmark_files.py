"""Benchmark CSV files -> sentences with their sets of gold labels, by the protocol of Decorte et al. 2023.

Rows labelled LABEL NOT PRESENT or UNDERSPECIFIED are dropped, labels stripped, rows of one sentence grouped into a
set of labels, and sentences left empty dropped: 338 / 262 / 326 test queries for TECH / HOUSE / TECHWOLF.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from dataset_builder.contract import StageError
from dataset_builder.csv_files import AS_TEXT, checked_rows

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
        StageError: no such file, as `read_csv`, a row without sentence, or no row is left.
    """
    path = Path(path)
    if not path.is_file():
        raise StageError(f"{path} does not exist", "Give a CSV with the columns 'sentence' and 'label'")
    rows = []
    for line, row in read_csv(path, (sentence_column, label_column)):
        if not row[sentence_column].strip():
            raise StageError(f"{path} line {line}: column {sentence_column!r} is empty")
        rows.append((row[sentence_column], row[label_column]))
    return group_rows(rows, str(path))


def read_csv(path: Path, columns: Sequence[str] = (), remedy: str = "") -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number, row) of a CSV; the columns asked for are there.

    Args:
        path: the CSV.
        columns: names of columns.
        remedy: what to do where a column is missing.

    Raises:
        StageError: see `checked_rows`.
    """
    with path.open(**AS_TEXT) as file:
        yield from checked_rows(file, str(path), columns, remedy)


def list_in(cell: str) -> list[object] | None:
    """The Python list that a cell holds as text; None where it holds none, or strings without a comma between them.

    Python would join such strings: numpy writes `['manage staff' 'plan schedules']` for two labels.
    """
    try:
        found = ast.literal_eval(cell)
        tokens = [token.type for token in tokenize.generate_tokens(io.StringIO(cell).readline)]
    except (ValueError, SyntaxError, tokenize.TokenError):
        return None
    between = [kind for kind in tokens if kind not in (tokenize.NL, tokenize.COMMENT)]
    joined = (tokenize.STRING, tokenize.STRING) in pairwise(between)
    return found if isinstance(found, list) and not joined else None


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
