"""Results of several systems -> Markdown tables with intervals, published numbers, paired tests, and figures.

python -m eval.compare results/*.json
python -m eval.compare --seeds "ours" results/biencoder-seed*.json --against all-MiniLM-L6-v2 results/stock-*.json
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from dataset_builder.contract import StageError, run_command, write_atomically
from dataset_builder.markdown_parts import put_part
from eval.comparison import (
    Entry,
    Group,
    PairedTest,
    Published,
    group_runs,
    paired_tests,
    read_published,
    read_runs,
)
from eval.query_metrics import MAIN_METRICS, values_of
from eval.slice_tables import slice_tables
from eval.tables import display_name, percent, with_interval

DEFAULT_METRICS = ["rp@5", "mrr"]
RESULTS = "results"  # the part of README that is the table


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the comparison, write it and the figures where asked."""
    options = _parser().parse_args(arguments)
    _check_metrics(options.metrics)
    if options.slices and options.metrics[0] not in MAIN_METRICS:
        raise StageError(f"slices are not measured by {options.metrics[0]}", f"Use {' or '.join(MAIN_METRICS)} first")
    seeds = {name: read_runs(_files_of(name, files)) for name, *files in options.seeds}
    taken = {file for _, *files in options.seeds for file in files}
    groups = group_runs(read_runs([file for file in options.results if file not in taken]), seeds)
    if options.split:
        groups = [group for group in groups if group.split == options.split]
        if not groups:
            raise StageError(f"no results are of the split {options.split!r}")
    _check_reference(options.against, groups)
    published = [] if options.no_published else read_published()
    parts = [group_as_markdown(group, published, options.metrics, options.against) for group in groups]
    if options.slices:
        parts += ["\n".join(slice_tables(group, options.metrics[0])) for group in groups]
    text = "\n".join(parts)
    if options.out:
        write_atomically(options.out, text)
    if options.into:
        table = metric_table(groups[0], groups[0].fitting(published), options.metrics[0])
        put_part(options.into, RESULTS, "\n".join(table))
    print(text)
    if options.figures:
        from eval.figures import draw_figures

        for group in groups:
            alone = sum(other.split == group.split for other in groups) == 1
            stem = group.split if alone else f"{group.split}-{group.label_space}"
            for path in draw_figures(group, published, options.figures, stem):
                print(f"drawn: {path}", file=sys.stderr)


def _check_metrics(metrics: Sequence[str]) -> None:
    for metric in metrics:
        try:
            values_of([(1,)], metric)
        except ValueError as error:
            raise StageError(str(error)) from None


def _check_reference(name: str, groups: Sequence[Group]) -> None:
    names = list(dict.fromkeys(entry.name for group in groups for entry in group.entries))
    if name and name not in names:
        raise StageError(f"no system is named {name!r}", f"There are: {', '.join(names)}")


def _files_of(name: str, files: Sequence[str]) -> Sequence[str]:
    if not files:
        raise StageError(f"--seeds {name} names no file", 'Write --seeds "NAME" FILE FILE ...')
    return files


def group_as_markdown(group: Group, published: Sequence[Published], metrics: Sequence[str], reference: str) -> str:
    """All tables of one group: a table a metric, then the paired tests of the first metric."""
    lines = [f"### {group.split}: {group.label_space}, values x 100, 95% bootstrap intervals", ""]
    for metric in metrics:
        lines += [*metric_table(group, group.fitting(published), metric), ""]
    if len(group.entries) > 1:
        names = {entry.name for entry in group.entries}
        tests = paired_tests(group, metrics[0], reference if reference in names else "")
        lines += [*test_table(tests, metrics[0]), ""]
    return "\n".join(lines)


def metric_table(group: Group, published: Sequence[Published], metric: str) -> list[str]:
    """Lines of a Markdown table: a row a system, a column a benchmark; published numbers are marked and linked."""
    benchmarks = group.benchmarks
    rows = [[f"system, {display_name(metric)}", *benchmarks, "from"]]
    rows += [
        [entry.name, *(_cell(entry, name, metric) for name in benchmarks), _origin(entry)] for entry in group.entries
    ]
    for system in published:
        found = [system.scores.get(name, {}).get(metric) for name in benchmarks]
        if any(value is not None for value in found):
            cells = ["-" if value is None else percent(value) for value in found]
            source = f"[{system.source}]({system.url})" if system.url else system.source
            rows.append([f"*{system.name}* ({system.size})", *cells, f"published: {source}"])
    return markdown_rows(rows)


def test_table(tests: Sequence[PairedTest], metric: str) -> list[str]:
    """Lines of a Markdown table of paired differences."""
    if not tests:
        return []
    rows = [["system", "benchmark", f"difference in {display_name(metric)}", "p", "p, corrected"]]
    for test in tests:
        paired = test.paired
        interval = f"{100 * paired.difference:+.2f} [{100 * paired.low:+.2f}, {100 * paired.high:+.2f}]"
        rows.append([test.system, test.benchmark, interval, f"{paired.p_value:.4f}", f"{test.corrected:.4f}"])
    title = f"Against {tests[0].reference}: paired bootstrap intervals, sign-flip permutation tests, Holm's correction"
    return [title, "", *markdown_rows(rows)]


def markdown_rows(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table; the first row is its head, and all columns but the first and last stand right."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    rule = ["---", *["---:"] * (len(rows[0]) - 2), "---"]
    return [f"| {' | '.join(row)} |" for row in (cells[0], rule, *cells[1:])]


def _cell(entry: Entry, benchmark: str, metric: str) -> str:
    if benchmark not in entry.benchmarks:
        return "-"
    spread = entry.spread(benchmark, metric)
    seeds = "" if spread is None else f" ± {percent(spread)}"
    estimate = with_interval(entry.estimate(benchmark, metric))
    value, _, interval = estimate.partition(" ")
    return f"{value}{seeds} {interval}"


def _origin(entry: Entry) -> str:
    return "measured" if len(entry.runs) == 1 else f"measured, mean ± standard deviation of {len(entry.runs)} seeds"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m eval.compare", description="Compare several systems' results.")
    add = parser.add_argument
    add("results", nargs="*", metavar="FILE.json", help="results of single runs")
    add(
        "--seeds", nargs="+", action="append", default=[], metavar="NAME", help="NAME FILE FILE ...: one system's seeds"
    )
    add("--metrics", nargs="+", default=DEFAULT_METRICS, metavar="METRIC", help="default: rp@5 mrr")
    add("--against", default="", metavar="NAME", help="system the others are tested against; default: the first")
    add("--split", default="", help="only results of this split")
    add("--slices", action="store_true", help="also tables of the first metric by slice of queries")
    add("--no-published", action="store_true", help="leave out the published numbers")
    add("--out", metavar="FILE.md", help="also write the tables there")
    add("--into", metavar="README.md", help="also put the first table between the results markers of this file")
    add("--figures", metavar="DIR", help="also draw figures there")
    return parser


if __name__ == "__main__":
    sys.exit(run_command(main))
