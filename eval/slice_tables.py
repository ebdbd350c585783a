"""A comparison -> Markdown tables of its slices: for each benchmark a row a group of queries, a column a system."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eval.comparison import Entry, Group
from eval.results import SliceResult
from eval.slices import by_number
from eval.tables import display_name, percent, with_interval


def slice_tables(group: Group, metric: str) -> list[str]:
    """Lines of Markdown: a heading and a table a benchmark. With several seeds a cell is their mean, without interval.

    Where systems were measured on different numbers of queries, as with other held-out folds, the row gives each one's.

    Args:
        group: what is compared.
        metric: one that slices are measured by: rp@5 or mrr.
    """
    lines: list[str] = []
    for benchmark in group.benchmarks:
        found = [(entry, _slices(entry, benchmark)) for entry in group.entries]
        keys = dict.fromkeys(key for _, slices in found for key in slices)
        if not keys:
            continue
        lines += [f"#### {benchmark}, {display_name(metric)} by slice", ""]
        lines.append(
            f"| slice | | queries | {' | '.join(entry.name.replace('|', chr(92) + '|') for entry, _ in found)} |"
        )
        lines.append(f"| --- | --- | ---: |{' ---: |' * len(found)}")
        for kind, value in keys:
            measured = [slices.get((kind, value), ()) for _, slices in found]
            cells = [_cell(results, metric) for results in measured]
            lines.append(f"| {kind} | {value} | {_counts(measured)} | {' | '.join(cells)} |")
        lines.append("")
    return lines


def _slices(entry: Entry, benchmark: str) -> dict[tuple[str, str], list[SliceResult]]:
    """(slice, value) -> what each run measured there; only where every run has it."""
    runs = [result.slices for run in entry.runs for result in run.benchmarks if result.name == benchmark]
    first = runs[0] if runs else {}
    keys = [(kind, value) for kind, values in first.items() for value in sorted(values, key=by_number)]
    found = {(kind, value): [run[kind][value] for run in runs if value in run.get(kind, {})] for kind, value in keys}
    return {key: results for key, results in found.items() if len(results) == len(runs)}


def _counts(measured: Sequence[Sequence[SliceResult]]) -> str:
    """How many queries the systems' values are over: one number where they agree, else one a system."""
    counts = ["/".join(str(count) for count in sorted({one.queries for one in results})) for results in measured]
    known = set(filter(None, counts))
    return known.pop() if len(known) == 1 else ", ".join(count or "-" for count in counts)


def _cell(results: Sequence[SliceResult], metric: str) -> str:
    if len({one.queries for one in results}) > 1:  # seeds with other held-out folds: their mean is over nothing
        return "-"
    estimates = [result.metrics[metric] for result in results if metric in result.metrics]
    if not estimates:
        return "-"
    if len(estimates) == 1:
        return with_interval(estimates[0])
    return percent(float(np.mean([estimate.value for estimate in estimates])))
