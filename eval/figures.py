"""A comparison -> figures for a README, as SVG, light and dark: forest plot, RP@k over k, threshold curves."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.contract import write_atomically
from eval.comparison import Entry, Group, Published
from eval.results import ThresholdResult

CURVE_CUTOFFS = range(1, 21)
METRIC = "rp@5"
# With fewer suggestions kept, precision is noise and is not drawn.
FEWEST_KEPT = 10


@dataclass(frozen=True)
class Theme:
    """Colours of one variant; `series` are told apart in both kinds of colour blindness that are common."""

    name: str
    background: str
    text: str
    muted: str
    grid: str
    series: tuple[str, ...]


THEMES = (
    Theme(
        "light",
        "#ffffff",
        "#1f2328",
        "#59636e",
        "#d1d9e0",
        ("#0969da", "#bc4c00", "#1a7f37", "#8250df", "#bf3989", "#9a6700", "#57606a", "#0e8a8a"),
    ),
    Theme(
        "dark",
        "#0d1117",
        "#f0f6fc",
        "#9198a1",
        "#30363d",
        ("#58a6ff", "#ff9d57", "#56d364", "#bc8cff", "#ff7bc4", "#e3b341", "#9198a1", "#39c5cf"),
    ),
)
_DASHES = ("-", "--", "-.", ":")


def draw_figures(group: Group, published: Sequence[Published], folder: str | Path, stem: str = "") -> list[Path]:
    """Draw every figure of a group in every theme; the files are named FIGURE-STEM-THEME.svg.

    Args:
        group: what is compared.
        published: numbers to mark in the forest plot where they fit the group.
        folder: made when missing.
        stem: what tells the group from others; default: its split.

    Returns:
        The files written.
    """
    shown = group.fitting(published)
    best = max(group.entries, key=lambda entry: _mean_over_benchmarks(entry, METRIC))
    drawings: dict[str, Callable[[Any, Theme], Any]] = {
        "forest": lambda plt, theme: forest(plt, theme, group, shown),
        "rp-at-k": lambda plt, theme: curves_over_k(plt, theme, group),
    }
    if any(benchmark.thresholds for benchmark in best.runs[0].benchmarks):
        drawings["thresholds"] = lambda plt, theme: threshold_curves(plt, theme, best)
    written = []
    for name, draw in drawings.items():
        for theme in THEMES:
            path = Path(folder) / f"{name}-{_slug(stem or group.split)}-{theme.name}.svg"
            with _styled(theme) as plt:
                _save(plt, draw(plt, theme), path)
            written.append(path)
    return written


def forest(plt: Any, theme: Theme, group: Group, published: Sequence[Published]) -> Any:
    """A panel a benchmark, a line a system: value with 95% interval; published values as open diamonds."""
    systems: list[Entry | Published] = sorted(
        [*group.entries, *published], key=lambda system: _mean_over_benchmarks(system, METRIC)
    )
    benchmarks = group.benchmarks
    height = 1.5 + 0.34 * len(systems)
    figure, panels = plt.subplots(
        1, len(benchmarks), figsize=(3.2 + 2.6 * len(benchmarks), height), sharex=True, sharey=True, squeeze=False
    )
    for panel, benchmark in zip(panels[0], benchmarks, strict=True):
        for row, system in enumerate(systems):
            panel.axhline(row, color=theme.grid, linewidth=0.6, zorder=0)
            _forest_row(panel, theme, row, system, benchmark)
        panel.set_title(benchmark, fontsize=11, loc="left", color=theme.text, weight="bold")
        panel.set_xlabel("RP@5 \N{MULTIPLICATION SIGN} 100")
        panel.set_ylim(-0.6, len(systems) - 0.4)
        panel.margins(x=0.12)
    panels[0][0].set_yticks(range(len(systems)), [_forest_name(system) for system in systems])
    for label, system in zip(panels[0][0].get_yticklabels(), systems, strict=True):
        label.set_color(theme.muted if isinstance(system, Published) else theme.text)
    measured = panels[0][0].plot([], [], "o-", color=theme.series[0], linewidth=2, markersize=6.5)[0]
    figure_handles = {"measured, with 95% bootstrap interval": measured}
    if published:
        figure_handles["published by its authors, no interval known"] = panels[0][0].plot([], [], **_diamond(theme))[0]
    figure.legend(
        figure_handles.values(),
        figure_handles.keys(),
        loc="outside lower center",
        ncols=2,
        frameon=False,
        fontsize=9,
    )
    return figure


def _forest_row(panel: Any, theme: Theme, row: int, system: Entry | Published, benchmark: str) -> None:
    if isinstance(system, Published):
        value = system.scores.get(benchmark, {}).get(METRIC)
        if value is None:
            return
        panel.plot(100 * value, row, **_diamond(theme))
    elif benchmark in system.benchmarks:
        estimate = system.estimate(benchmark, METRIC)
        value = estimate.value
        panel.plot([100 * estimate.low, 100 * estimate.high], [row, row], color=theme.series[0], linewidth=2)
        panel.plot(100 * value, row, "o", markersize=6.5, color=theme.series[0])
    else:
        return
    above = (100 * value, row + 0.18)
    panel.annotate(f"{100 * value:.1f}", above, ha="center", va="bottom", fontsize=7.5, color=theme.muted)


def _diamond(theme: Theme) -> dict[str, Any]:
    """An open diamond that hides the line behind it."""
    return {
        "marker": "D", "linestyle": "none", "markersize": 5.5,
        "markerfacecolor": theme.background, "color": theme.muted,
    }  # fmt: skip


def curves_over_k(plt: Any, theme: Theme, group: Group) -> Any:
    """A panel a benchmark, a curve a system, the best first in the legend: RP@k for k from 1 to 20."""
    benchmarks = group.benchmarks
    best_first = sorted(group.entries, key=lambda entry: -_mean_over_benchmarks(entry, METRIC))
    figure, panels = plt.subplots(
        1, len(benchmarks), figsize=(1.2 + 2.9 * len(benchmarks), 3.6), sharey=True, squeeze=False
    )
    for panel, benchmark in zip(panels[0], benchmarks, strict=True):
        for number, entry in enumerate(best_first):
            if benchmark in entry.benchmarks:
                means = [100 * entry.values(benchmark, f"rp@{k}").mean() for k in CURVE_CUTOFFS]
                panel.plot(CURVE_CUTOFFS, means, label=entry.name, linewidth=1.8, **_line_style(theme, number))
        panel.set_title(benchmark, fontsize=11, loc="left", color=theme.text, weight="bold")
        panel.set_xlabel("k")
        panel.set_xticks([1, 5, 10, 15, 20])
        panel.grid(color=theme.grid, linewidth=0.7)
    panels[0][0].set_ylabel("RP@k \N{MULTIPLICATION SIGN} 100")
    _legend_below(figure, panels[0][0])
    return figure


def threshold_curves(plt: Any, theme: Theme, entry: Entry) -> Any:
    """A panel a benchmark: precision, recall, F1, and share of sentences without skills rejected, over the score."""
    found = [(benchmark, benchmark.thresholds) for benchmark in entry.runs[0].benchmarks if benchmark.thresholds]
    figure, panels = plt.subplots(
        1, len(found), figsize=(1.2 + 2.9 * len(found), 3.8), sharex=True, sharey=True, squeeze=False
    )
    for panel, (benchmark, thresholds) in zip(panels[0], found, strict=True):
        levels = [point.threshold for point in thresholds.points]
        for number, (label, values) in enumerate(threshold_values(thresholds, benchmark.gold_labels).items()):
            if not np.isnan(values).all():
                panel.plot(levels, 100 * values, label=label, linewidth=1.8, **_line_style(theme, number))
        panel.axvline(thresholds.best.threshold, color=theme.muted, linewidth=1, linestyle=":")
        panel.set_title(benchmark.name, fontsize=11, loc="left", color=theme.text, weight="bold")
        panel.set_xlabel("threshold on the score")
        panel.set_ylim(-3, 103)
        panel.grid(color=theme.grid, linewidth=0.7)
    panels[0][0].set_ylabel("percent")
    title = f"{entry.name}: of ten suggestions a sentence, those above a threshold (dotted: the best F1)"
    figure.suptitle(title, fontsize=10, x=0.01, ha="left", color=theme.muted)
    _legend_below(figure, max(panels[0], key=lambda panel: len(panel.lines)))
    return figure


def threshold_values(thresholds: ThresholdResult, gold_labels: int) -> dict[str, Any]:
    """Name of a curve -> its values as fractions, not a number where there is nothing to show."""
    precision = np.array([point.precision for point in thresholds.points])
    recall = np.array([point.recall for point in thresholds.points])
    with np.errstate(divide="ignore", invalid="ignore"):
        kept = np.where(precision > 0, recall * gold_labels / precision, 0)
    return {
        "precision": np.where(kept >= FEWEST_KEPT - 0.5, precision, np.nan),
        "recall": recall,
        "F1": np.array([point.f1 for point in thresholds.points]),
        "sentences without a skill that it rejects": np.array(
            [np.nan if point.rejected is None else point.rejected for point in thresholds.points]
        ),
    }


def _legend_below(figure: Any, panel: Any) -> None:
    """A legend under the panels, in as many columns as their width has room for."""
    handles, labels = panel.get_legend_handles_labels()
    room = int(figure.get_figwidth() * 13)
    columns = max(1, min(len(labels), 4, room // (max(map(len, labels), default=1) + 6)))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)


def _line_style(theme: Theme, number: int) -> dict[str, str]:
    colours = len(theme.series)
    return {"color": theme.series[number % colours], "linestyle": _DASHES[(number // colours) % len(_DASHES)]}


def _mean_over_benchmarks(system: Entry | Published, metric: str) -> float:
    if isinstance(system, Published):
        values = [scores[metric] for scores in system.scores.values() if metric in scores]
    else:
        values = [float(system.values(benchmark, metric).mean()) for benchmark in system.benchmarks]
    return float(np.mean(values)) if values else 0.0


def _forest_name(system: Entry | Published) -> str:
    return f"{system.name} ({system.size})" if isinstance(system, Published) else system.name


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


@contextmanager
def _styled(theme: Theme) -> Iterator[Any]:
    """Pyplot in a theme's colours, without a display; text becomes outlines, so that it looks the same everywhere."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    settings = {
        "figure.facecolor": theme.background,
        "axes.facecolor": theme.background,
        "savefig.facecolor": theme.background,
        "text.color": theme.text,
        "axes.labelcolor": theme.text,
        "xtick.color": theme.muted,
        "ytick.color": theme.text,
        "ytick.major.size": 0,
        "axes.edgecolor": theme.grid,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.constrained_layout.use": True,
        "font.size": 9.5,
        "svg.fonttype": "path",
        # The same input gives the same file.
        "svg.hashsalt": "esco",
    }
    with mpl.rc_context(settings):
        yield pyplot


def _save(plt: Any, figure: Any, path: Path) -> None:
    from io import BytesIO

    content = BytesIO()
    figure.savefig(content, format="svg", metadata={"Date": None})
    plt.close(figure)
    write_atomically(path, content.getvalue())
