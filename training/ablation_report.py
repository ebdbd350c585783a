"""results/ablations.json -> a Markdown table and a figure.

python -m training.ablation_report results/ablations.json --into training/README.md \
    --figure results/figures/ablations.png
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.contract import run_command
from dataset_builder.markdown_parts import put_part
from training.ablation_grid import GRID, Row, recipe_of
from training.ablation_results import AblationResults, AblationRow, Interval, by_question
from training.recipe import comparable
from training.run_record import DatasetSource

PART = "ablations"  # of training/README.md


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table and draw the figure."""
    parser = argparse.ArgumentParser(prog="python -m training.ablation_report", description=__doc__)
    parser.add_argument("results", help="results/ablations.json")
    parser.add_argument("--into", metavar="MD", help="put the table between its markers")
    parser.add_argument("--figure", metavar="PNG", help="where to draw the differences")
    given = parser.parse_args(arguments)
    results = with_whole_grid(AblationResults.load(given.results))
    table = render_table(results)
    if given.into:
        put_part(given.into, PART, table)
    print(table)
    if given.figure:
        draw(results, Path(given.figure))


def with_whole_grid(results: AblationResults) -> AblationResults:
    """The results with a row for all that the grid asks now; of what it asks no more, only what was measured.

    A question whose recipes are others now is wholly as on file until its first row, with which the others are
    compared, is measured by the recipe of now, and from then on wholly as the grid has it.
    """
    on_file = by_question(results.rows)
    rows: list[AblationRow] = []
    for question in dict.fromkeys(row.question for row in GRID):
        then = on_file.pop(question, [])
        now = [_found(row, then) or _waiting(row) for row in GRID if row.question == question]
        rows += now if now[0].seeds or not any(row.seeds for row in then) else then
    gone = [row for those in on_file.values() for row in those if row.seeds]
    return results.model_copy(update={"rows": [*rows, *gone]})


def _found(asked: Row, on_file: Sequence[AblationRow]) -> AblationRow | None:
    """The row on file that is of this name and recipe."""
    recipe = comparable(recipe_of(asked, 1).as_dict())
    return next((row for row in on_file if row.name == asked.name and comparable(row.recipe) == recipe), None)


def _waiting(row: Row) -> AblationRow:
    return AblationRow(
        question=row.question,
        name=row.name,
        what=row.what,
        recipe=recipe_of(row, 1).as_dict(),
        seeds=[],
        not_run="not yet",
        pairs=0,
        sets={},
    )


def render_table(results: AblationResults) -> str:
    """RP@5 (x100) of every row by set, with its difference from the question's first row and its 95% interval.

    A question of which no two rows were run says nothing yet; these are named below, and what the rows were trained
    on where the file says so.
    """
    runs = Counter(row.question for row in results.rows if row.seeds)
    waiting = [one for one in dict.fromkeys(row.question for row in results.rows) if runs[one] < 2]
    sets = list(dict.fromkeys(name for row in results.rows for name in row.sets))
    heads = ["Question", "Row", "Pairs", "Seeds", *sets]
    lines = ["| " + " | ".join(heads) + " |", "|---|---|--:|--:|" + "--:|" * len(sets)]
    before = ""
    for row in results.rows:
        if row.question in waiting:
            continue
        question = row.question.replace("_", " ") if row.question != before else ""
        before = row.question
        what = f"{row.name.replace('_', ' ')}: {row.what}"
        cells = [question, what, f"{row.pairs:,}" if row.seeds else row.not_run or "", str(len(row.seeds) or "")]
        lines.append("| " + " | ".join([*cells, *(_cell(row, name) for name in sets)]) + " |")
    trained_on = _trained_on(results.rows)
    if trained_on:
        lines += ["", f"Trained on {trained_on}."]
    if waiting:
        lines += ["", f"Not run yet: {', '.join(waiting).replace('_', ' ')}."]
    return "\n".join(lines)


def _trained_on(rows: Sequence[AblationRow]) -> str:
    """Every dataset and base model with how many rows are of it; empty where no row says."""
    names = [
        name
        for row in rows
        for name in dict.fromkeys(
            f"{_named(run.dataset)} (pairs {run.dataset.sha256[:8]}) from {run.base_model.id}" for run in row.runs
        )
    ]
    unknown = sum(bool(row.seeds) and not row.runs for row in rows)
    if names and unknown:
        names += ["what the file does not say"] * unknown
    counts = Counter(names)
    return "; ".join(name if len(counts) == 1 else f"{name}: {count} row(s)" for name, count in counts.items())


def _named(dataset: DatasetSource) -> str:
    """Its id, and its version where there is one and the id does not say it."""
    says = dataset.version == "unknown" or dataset.id == f"v{dataset.version}"
    return dataset.id if says else f"{dataset.id} {dataset.version}"


def _cell(row: AblationRow, name: str) -> str:
    result = row.sets.get(name)
    if result is None:
        return ""
    value = f"{100 * result.rp_at_5.value:.1f}"
    return f"{value} ({signed(result.difference)})" if _differs(row, result.difference) else value


def _differs(row: AblationRow, difference: Interval | None) -> bool:
    return difference is not None and not (difference.value == difference.low == difference.high == 0)


def signed(difference: Interval | None) -> str:
    """A difference with its interval, x100: `+1.2 [-0.3, +2.7]`."""
    if difference is None:
        return ""
    return f"{100 * difference.value:+.1f} [{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]"


def draw(results: AblationResults, path: Path) -> None:
    """Draw the differences from each question's first row with their intervals, one panel a set of sentences."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    sets = list(dict.fromkeys(name for row in results.rows for name in row.sets))
    shown = [row for row in results.rows if any(_differs(row, result.difference) for result in row.sets.values())]
    height = 0.32 * max(len(shown), 1) + 1.4
    figure, panels = pyplot.subplots(1, max(len(sets), 1), figsize=(3.2 * max(len(sets), 1) + 3, height), sharey=True)
    for name, panel in zip(sets, np.atleast_1d(panels), strict=False):
        _draw_panel(panel, name, shown)
    # Once: the panels share it.
    np.atleast_1d(panels)[0].invert_yaxis()
    figure.suptitle("RP@5 against the first row of each question (x100, 95% intervals)", fontsize=10)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def _draw_panel(panel: Any, name: str, rows: Sequence[AblationRow]) -> None:
    panel.axvline(0, color="grey", linewidth=1)
    for place, row in enumerate(rows):
        difference = row.sets[name].difference if name in row.sets else None
        if difference is not None:
            reach = [[difference.value - difference.low], [difference.high - difference.value]]
            errors = [[100 * max(part[0], 0.0)] for part in reach]
            panel.errorbar(100 * difference.value, place, xerr=errors, fmt="o", capsize=3, color="tab:blue")
    panel.set_yticks(range(len(rows)), [f"{row.question}: {row.name}".replace("_", " ") for row in rows], fontsize=8)
    panel.set_title(name.replace("_", " "), fontsize=9)


if __name__ == "__main__":
    sys.exit(run_command(main))
