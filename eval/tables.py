"""EvalResults -> a table for the terminal. Values are percentages; brackets hold 95% bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence

from eval.results import BenchmarkResult, Estimate, EvalResults, ThresholdPoint, ThresholdResult

WITH_INTERVAL = ("rp@5", "mrr")
PLAIN = ("rp@1", "rp@3", "rp@10", "hit@5", "recall@10", "ndcg@10")


def display_name(metric: str) -> str:
    """How a metric is written in a table: RP@5, MRR, nDCG@10, hit@5."""
    name, at, cutoff = metric.partition("@")
    return {"rp": "RP", "mrr": "MRR", "ndcg": "nDCG"}.get(name, name) + at + cutoff


def percent(value: float) -> str:
    """A fraction as a percentage with two decimals, without the sign."""
    return f"{100 * value:.2f}"


def with_interval(estimate: Estimate) -> str:
    """Value and interval: `45.57 [40.71, 50.40]`."""
    return f"{percent(estimate.value)} [{percent(estimate.low)}, {percent(estimate.high)}]"


def results_table(results: EvalResults) -> str:
    """The table that `eval.score_model` prints: a line a benchmark, then what should be known about it."""
    space = results.label_space
    title = (
        f"{results.system.name} on {results.split}: {space.size:,} skill names of ESCO {space.version} "
        "(values x 100, 95% bootstrap intervals)"
    )
    header = ["", "queries", *(display_name(metric) for metric in WITH_INTERVAL + PLAIN)]
    rows = [header] + [_row(benchmark) for benchmark in results.benchmarks]
    return "\n".join([title, "", *aligned(rows), *_remarks(results.benchmarks)])


def details_table(results: EvalResults) -> str:
    """What `--details` adds: RP@5 of every slice, then what thresholds do."""
    names = [benchmark.name for benchmark in results.benchmarks]
    rows = [["RP@5 by slice", "", *names]]
    for kind in results.benchmarks[0].slices:
        for value in dict.fromkeys(value for b in results.benchmarks for value in b.slices.get(kind, {})):
            found = [benchmark.slices.get(kind, {}).get(value) for benchmark in results.benchmarks]
            cells = [f"{with_interval(one.metrics['rp@5'])} n={one.queries}" if one else "-" for one in found]
            rows.append([kind, value, *cells])
    heads = ["F1", "precision", "recall", "threshold", "rejected", "AUROC", "accepted at 95% recall", "no skill"]
    lines = [["threshold of the best F1", *heads]]
    for benchmark in results.benchmarks:
        if benchmark.thresholds:
            lines.append([benchmark.name, *_threshold_cells(benchmark.thresholds, benchmark.thresholds.best)])
        if benchmark.thresholds and benchmark.thresholds.chosen:
            cells = _threshold_cells(benchmark.thresholds, benchmark.thresholds.chosen)
            lines.append([f"{benchmark.name}, as given", *cells])
    return "\n".join([*aligned(rows), "", *aligned(lines), "", *calibration_table(results.benchmarks)])


def calibration_table(benchmarks: Sequence[BenchmarkResult]) -> list[str]:
    """Lines with the first suggestions in bins by score: mean score and share that is right, both x 100."""
    measured = [(benchmark.name, benchmark.thresholds) for benchmark in benchmarks if benchmark.thresholds]
    bins = max((len(thresholds.calibration) for _, thresholds in measured), default=0)
    rows = [["first suggestions, lowest scores first", "", *(str(number) for number in range(1, bins + 1))]]
    for name, thresholds in measured:
        padding = [""] * (bins - len(thresholds.calibration))
        rows.append([name, "mean score", *(f"{one.mean_score:.3f}" for one in thresholds.calibration), *padding])
        rows.append(["", "percent right", *(f"{100 * one.right:.0f}" for one in thresholds.calibration), *padding])
    return aligned(rows)


def _threshold_cells(thresholds: ThresholdResult, point: ThresholdPoint) -> list[str]:
    shares = [point.f1, point.precision, point.recall]
    optional = [point.rejected, thresholds.auroc, thresholds.accepted_at_95_recall]
    return [
        *map(percent, shares),
        f"{point.threshold:.3f}",
        *("-" if share is None else percent(share) for share in optional),
        str(thresholds.sentences_without_skill),
    ]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with columns under one another: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if number == 0 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _row(benchmark: BenchmarkResult) -> list[str]:
    intervals = [with_interval(benchmark.metrics[metric]) for metric in WITH_INTERVAL]
    plain = [percent(benchmark.metrics[metric].value) for metric in PLAIN]
    return [benchmark.name, str(benchmark.queries), *intervals, *plain]


def _remarks(benchmarks: Sequence[BenchmarkResult]) -> list[str]:
    lines = []
    for benchmark in benchmarks:
        if benchmark.gold_missing:
            shown = ", ".join(benchmark.gold_missing[:5]) + (", ..." if len(benchmark.gold_missing) > 5 else "")
            times = sum(line.split().count("-") for line in benchmark.gold_ranks)
            lines.append(
                f"{benchmark.name}: gold labels that the label space lacks ({len(benchmark.gold_missing)}, "
                f"{times} of {benchmark.gold_labels} mentions), counted as not found: {shown}"
            )
        if benchmark.left_out:
            lines.append(f"{benchmark.name}: left out because the test split holds them: {benchmark.left_out} queries")
    return ["", *lines] if lines else []
