"""What ablations measured <-> results/ablations.json: means, differences within a question, and their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from dataset_builder.contract import Record, Strict
from training.run_record import DatasetSource, ModelSource, TrainingRecord

BOOTSTRAP_SAMPLES = 10_000
BOOTSTRAP_SEED = 20_230_710

# Set of sentences -> RP@5 of each sentence.
Scores = dict[str, list[float]]


class Interval(Strict):
    """A mean with its 95% bootstrap interval over sentences, in [0, 1] (differences in [-1, 1])."""

    value: float
    low: float
    high: float


class SetResult(Strict):
    """RP@5 on one set of sentences; `difference` is against the question's first row on the same seeds, paired."""

    sentences: int
    rp_at_5: Interval
    by_seed: list[float]
    difference: Interval | None


class RowRun(Strict):
    """What one seed of a row was trained on and by: as its training record says."""

    seed: int
    code_version: str
    base_model: ModelSource
    dataset: DatasetSource
    inputs_sha256: str | None

    @classmethod
    def of(cls, record: TrainingRecord) -> RowRun:
        """The part of a run's record that tells a row of other inputs from this one."""
        return cls(
            seed=record.seed,
            code_version=record.code_version,
            base_model=record.base_model,
            dataset=record.dataset,
            inputs_sha256=record.inputs_sha256,
        )


class AblationRow(Strict):
    """One row: what it is, and what it scored; `not_run` says why it was not.

    `runs` are those of `seeds`, in their order; none in rows from before they were kept.
    """

    question: str
    name: str
    what: str
    recipe: dict[str, Any]
    seeds: list[int]
    not_run: str | None
    pairs: int
    sets: dict[str, SetResult]
    runs: tuple[RowRun, ...] = ()


class AblationResults(Record):
    """All rows, in the grid's order; the first row of a question is the one that the others are compared with."""

    FILE_NAME: ClassVar[str] = "ablations.json"
    SCHEMA_VERSION: ClassVar[int] = 1

    created_at: str
    code_version: str
    budget_pairs: int
    rows: list[AblationRow]


def by_question(rows: Sequence[AblationRow]) -> dict[str, list[AblationRow]]:
    """The rows of each question, which are compared with one another."""
    found: dict[str, list[AblationRow]] = {}
    for row in rows:
        found.setdefault(row.question, []).append(row)
    return found


def compare(scores: Mapping[int, Scores], baseline: Mapping[int, Scores]) -> dict[str, SetResult]:
    """Results of a row by set.

    Args:
        scores: RP@5 of every sentence by set, by seed.
        baseline: the same of the row compared with; only seeds that both have are compared.
    """
    results: dict[str, SetResult] = {}
    shared = sorted(set(scores) & set(baseline))
    for name in _common_sets(scores):
        values = np.mean([scores[seed][name] for seed in sorted(scores)], axis=0)
        alike = [seed for seed in shared if len(baseline[seed].get(name, ())) == len(scores[seed][name])]
        paired = [np.subtract(scores[seed][name], baseline[seed][name]) for seed in alike]
        results[name] = SetResult(
            sentences=len(values),
            rp_at_5=interval(values),
            by_seed=[float(np.mean(scores[seed][name])) for seed in sorted(scores)],
            difference=interval(np.mean(paired, axis=0)) if paired and scores is not baseline else None,
        )
    return results


def interval(values: np.ndarray) -> Interval:
    """Mean of the values with its percentile bootstrap interval (Efron and Tibshirani 1993, chapter 13)."""
    draw = np.random.default_rng(BOOTSTRAP_SEED)
    # A hundred at a time: one at a time takes long, all at once much memory.
    rounds = range(BOOTSTRAP_SAMPLES // 100)
    means = np.concatenate([draw.choice(values, (100, len(values))).mean(axis=1) for _ in rounds])
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(value=float(values.mean()), low=float(low), high=float(high))


def _common_sets(scores: Mapping[int, Scores]) -> list[str]:
    """Sets that every seed was measured on, in order."""
    if not scores:
        return []
    first = scores[min(scores)]
    return [name for name in first if all(name in one for one in scores.values())]
