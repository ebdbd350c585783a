"""The evaluation's contract: EvalResults <-> results.json, one run of one system over some benchmarks.

All metric values are fractions in [0, 1]; tables multiply by 100.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from dataset_builder.contract import Record, Strict

# How many sentences with a label each split of TechWolf's benchmarks has, by the protocol.
TECHWOLF_QUERIES = {
    "tech": {"test": 338, "validation": 75},
    "house": {"test": 262, "validation": 61},
    "techwolf": {"test": 326},
}


class Estimate(Strict):
    """A mean over queries with its 95% bootstrap interval."""

    value: float
    low: float
    high: float


class SystemInfo(Strict):
    """What was evaluated. `weights_sha256` is None for systems without weights."""

    name: str
    kind: str
    source: str
    revision: str | None
    weights_sha256: str | None
    training_record_sha256: str | None
    dataset: str | None
    dataset_version: str | None
    model_version: str | None
    settings: dict[str, str]


class LabelSpace(Strict):
    """The labels that are ranked, in tie order."""

    source: str
    version: str
    size: int = Field(ge=1)
    sha256: str


class SliceResult(Strict):
    """One value of one slice: how many queries fall into it and what they score."""

    queries: int
    metrics: dict[str, Estimate]


class ThresholdPoint(Strict):
    """What a score threshold keeps: precision, recall and F1 over all (sentence, skill) pairs of the benchmark.

    `rejected` is the share of sentences without any skill for which nothing is kept; None where there are none.
    """

    threshold: float
    precision: float
    recall: float
    f1: float
    rejected: float | None


class CalibrationBin(Strict):
    """Best suggestions with scores between two bounds: how many, their mean score, and the share that is right."""

    low: float
    high: float
    suggestions: int
    mean_score: float
    right: float


class ThresholdResult(Strict):
    """How a system's scores tell right from wrong.

    `auroc` says how well the best score of a sentence tells sentences with skills from those without;
    `accepted_at_95_recall` is the share of sentences without skills that get through at the threshold which keeps 95%
    of those with skills. Both are None where no sentence lacks a skill. `best` is the point with the highest F1 on
    this very benchmark; `chosen` is the threshold that was given, such as the best one on validation.
    """

    sentences_with_skill: int
    sentences_without_skill: int
    suggestions_a_sentence: int
    points: list[ThresholdPoint]
    best: ThresholdPoint
    calibration: list[CalibrationBin]
    auroc: float | None
    accepted_at_95_recall: float | None
    chosen: ThresholdPoint | None = None


class BenchmarkResult(Strict):
    """Scores of one system on one benchmark.

    `metrics` maps names such as `rp@5` and `mrr` to estimates; `slices` maps a slice's name to its values, each with
    its own metrics; `gold_missing` names gold labels that the label space lacks (they stay in the denominator).
    `gold_ranks` has a line a query, in file order: the rank of each of its gold labels, `-` for a missing one, from
    which every metric can be counted again. `left_out` counts validation queries that the test split holds too.
    """

    name: str
    split: str
    data_sha256: str
    rows: int
    dropped_rows: int
    queries: int
    gold_labels: int
    gold_missing: list[str]
    metrics: dict[str, Estimate]
    slices: dict[str, dict[str, SliceResult]]
    seconds: float
    left_out: int = 0
    gold_ranks: list[str] = Field(default_factory=list)
    thresholds: ThresholdResult | None = None

    @property
    def asked(self) -> tuple[str, int, int]:
        """What must be equal for two results to be over the same queries: file, queries, and how many were left out."""
        return self.data_sha256, self.queries, self.left_out

    @property
    def is_techwolfs(self) -> bool:
        """Whether this can be TechWolf's benchmark of the name, and is no part of it or another one named so."""
        return TECHWOLF_QUERIES.get(self.name.lower(), {}).get(self.split) == self.queries + self.left_out


class EvalResults(Record):
    """One evaluation run."""

    FILE_NAME: ClassVar[str] = "results.json"
    SCHEMA_VERSION: ClassVar[int] = 1

    created_at: str
    code_version: str
    command: str
    split: str
    system: SystemInfo
    label_space: LabelSpace
    tie_order: str
    bootstrap_samples: int
    bootstrap_seed: int
    benchmarks: list[BenchmarkResult]
    versions: dict[str, str]
    seconds: float
    peak_memory_bytes: int
