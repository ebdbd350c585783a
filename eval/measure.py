"""A system and a benchmark -> rankings and a BenchmarkResult with metrics, slices and thresholds."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from dataset_builder.benchmark_files import GoldSentence
from eval.benchmarks import Benchmark
from eval.label_space import SkillNames
from eval.query_metrics import MAIN_METRICS, Values, metric_names, ranks_as_text, values_of
from eval.ranking import Rankings, System, rank_queries
from eval.results import BenchmarkResult, SliceResult, ThresholdResult
from eval.significance import SAMPLES, estimates
from eval.slices import slices_of
from eval.thresholds import measure_thresholds


@dataclass(frozen=True)
class Measured:
    """A benchmark's result, and the rankings it was measured on."""

    result: BenchmarkResult
    rankings: Rankings


def measure(
    system: System,
    benchmark: Benchmark,
    names: SkillNames,
    held_out_folds: Collection[int] = (),
    samples: int = SAMPLES,
    threshold: float | None = None,
) -> Measured:
    """Rank the label space for every query of a benchmark and measure the rankings.

    Args:
        system: already indexed with `names`.
        benchmark: what to rank for.
        names: the label space.
        held_out_folds: folds of skills that training did not see, for the slice "training".
        samples: bootstrap samples.
        threshold: chosen elsewhere; what it does here is reported.

    Raises:
        StageError: the system's scores are of the wrong shape or not finite.
    """
    started = time.perf_counter()
    rankings = rank_queries(system, benchmark.queries, names)
    seconds = time.perf_counter() - started
    columns = metric_names()
    values = np.stack([values_of(rankings.gold_ranks, metric) for metric in columns], axis=1)
    gold = {label for query in benchmark.queries for label in query.labels}
    result = BenchmarkResult(
        name=benchmark.name,
        split=benchmark.split,
        data_sha256=benchmark.data_sha256,
        rows=benchmark.rows,
        dropped_rows=benchmark.dropped_rows,
        queries=len(benchmark.queries),
        gold_labels=sum(len(query.labels) for query in benchmark.queries),
        gold_missing=sorted(gold - names.position.keys()),
        metrics=dict(zip(columns, estimates(values, samples), strict=True)),
        slices=_slice_results(values, slices_of(benchmark.queries, names, held_out_folds), samples),
        seconds=seconds,
        left_out=benchmark.left_out,
        gold_ranks=ranks_as_text(rankings.gold_ranks),
        thresholds=_thresholds(system, benchmark, names, rankings, threshold),
    )
    return Measured(result, rankings)


def _slice_results(
    values: Values, slices: dict[str, dict[str, list[int]]], samples: int
) -> dict[str, dict[str, SliceResult]]:
    columns = [metric_names().index(metric) for metric in MAIN_METRICS]
    return {
        name: {
            value: SliceResult(
                queries=len(positions),
                metrics=dict(zip(MAIN_METRICS, estimates(values[np.ix_(positions, columns)], samples), strict=True)),
            )
            for value, positions in groups.items()
        }
        for name, groups in slices.items()
    }


def _thresholds(
    system: System, benchmark: Benchmark, names: SkillNames, rankings: Rankings, chosen: float | None
) -> ThresholdResult:
    empty = rank_queries(system, [GoldSentence(text, ()) for text in benchmark.without_skill], names, depth=1)
    gold = [frozenset(query.labels) for query in benchmark.queries]
    return measure_thresholds(rankings, gold, names, empty.top_scores, chosen)
