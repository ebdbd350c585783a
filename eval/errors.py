"""The answers of one run -> the worst queries, grouped by what went wrong.

python -m eval.score_model MODEL ... --out results/NAME.json --per-query results/NAME.jsonl
python -m eval.errors results/NAME.json
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from dataset_builder.contract import StageError, run_command
from eval.per_query import QueryResult, read_per_query
from eval.relations import GOLD, KINDS, OTHER, kind_of_query
from eval.tables import aligned

TOP = 5
WIDTH = 110
MOST_LINES = 4


def main(arguments: Sequence[str] | None = None) -> None:
    """Print how often each kind of error occurs, and the worst queries of each."""
    options = _parser().parse_args(arguments)
    results = read_per_query(Path(options.result).with_suffix(".jsonl"))
    if options.benchmark:
        results = _of_benchmarks(results, options.benchmark)
    print("\n".join([*summary(results), "", *examples(results, options.examples)]))


def _of_benchmarks(results: Sequence[QueryResult], names: Sequence[str]) -> list[QueryResult]:
    known = list(dict.fromkeys(result.benchmark for result in results))
    for name in names:
        if name not in known:
            raise StageError(f"no query is of the benchmark {name!r}", f"There are: {', '.join(known)}")
    return [result for result in results if result.benchmark in names]


def errors_by_kind(results: Sequence[QueryResult]) -> dict[str, list[QueryResult]]:
    """Queries with RP@5 below 1 by kind of error, the worst of each kind first."""
    groups: dict[str, list[QueryResult]] = {kind: [] for kind in KINDS}
    for result in results:
        if result.rp_at_5 < 1:
            groups[kind_of_query(result.top_kinds[:TOP])].append(result)
    return {kind: sorted(group, key=_badness) for kind, group in groups.items()}


def summary(results: Sequence[QueryResult]) -> list[str]:
    """A table: for each benchmark, how many queries are not perfect, and why."""
    groups = errors_by_kind(results)
    counts: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(KINDS, 0))
    totals: dict[str, int] = defaultdict(int)
    for result in results:
        totals[result.benchmark] += 1
    for kind, group in groups.items():
        for result in group:
            counts[result.benchmark][kind] += 1
    rows = [["", "queries", "RP@5 below 1", *KINDS]]
    for benchmark, total in totals.items():
        found = counts[benchmark]
        rows.append([benchmark, str(total), str(sum(found.values())), *map(str, found.values())])
    return [*aligned(rows), "", *(f"{kind}: {meaning}" for kind, meaning in KINDS.items())]


def examples(results: Sequence[QueryResult], number: int) -> list[str]:
    """The worst queries of each kind with gold labels, their ranks, and the first five suggestions."""
    lines = []
    for kind, group in errors_by_kind(results).items():
        if group:
            lines += [f"=== {kind}: {len(group)} queries, the worst {min(number, len(group))}", ""]
        for result in group[:number]:
            ranks = ["not in the label space" if rank is None else f"rank {rank:,}" for rank in result.gold_ranks]
            lines += [
                f"{result.benchmark}  RP@5 {100 * result.rp_at_5:.0f}",
                *textwrap.wrap(result.sentence, WIDTH, max_lines=MOST_LINES, placeholder=" ..."),
                *(f"    wanted  {label} ({rank})" for label, rank in zip(result.gold, ranks, strict=True)),
                *(
                    f"    {score:6.3f}  {label}{_mark(found, kind)}"
                    for label, score, found in zip(
                        result.top[:TOP], result.top_scores[:TOP], result.top_kinds[:TOP], strict=True
                    )
                ),
                "",
            ]
    return lines or ["No query was missed."]


def _mark(found: str, kind: str) -> str:
    """What stands behind a suggestion: an arrow where it is the reason for the group."""
    if found in (GOLD, OTHER):
        return "  = gold" if found == GOLD else ""
    return f"  <- {found}" if found == kind else f"  [{found}]"


def _badness(result: QueryResult) -> tuple[float, float]:
    """Low RP@5 first; of equal ones, the query whose last gold label stands furthest down, or is not there at all."""
    ranks = [float("inf") if rank is None else rank for rank in result.gold_ranks]
    return result.rp_at_5, -max(ranks)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m eval.errors", description="Show what a system gets wrong.")
    parser.add_argument("result", metavar="RESULT", help="results/NAME.json or .jsonl; reads the .jsonl beside it")
    parser.add_argument("--benchmark", nargs="+", metavar="NAME", help="only these benchmarks")
    parser.add_argument("--examples", type=int, default=5, metavar="N", help="queries shown a kind; default: 5")
    return parser


if __name__ == "__main__":
    sys.exit(run_command(main))
