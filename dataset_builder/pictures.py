"""A manifest's counts -> the card's pictures: lengths, styles, sentences a skill and back, and what was rejected."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dataset_builder.schema import DatasetManifest

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, GREY = "#2b6cb0", "#a0aec0"
SENTENCES = "pictures/sentences.png"
OUTCOMES = "pictures/outcomes.png"
NARROW = 4  # so few values would fill the whole width
MOST_TICKS = 5  # of an axis: more numbers would run into each other


def draw_pictures(manifest: DatasetManifest, folder: str | Path) -> dict[str, str]:
    """Draw into `folder`/pictures.

    Returns:
        Path inside the folder, by caption.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    (Path(folder) / SENTENCES).parent.mkdir(parents=True, exist_ok=True)
    columns = {"words": ("words a sentence", "sentences"), "sentences_per_skill": ("sentences a skill", "skills")}
    if set(manifest.histograms.get("skills_per_sentence", {})) - {"1"}:
        columns["skills_per_sentence"] = ("skills a sentence", "sentences")
    figure = Figure(figsize=(2.8 * (len(columns) + 1) + 0.6, 3.2), layout="constrained")
    *places, last = figure.subplots(1, len(columns) + 1)
    for place, (name, (title, unit)) in zip(places, columns.items(), strict=True):
        _columns(place, manifest.histograms[name], title, unit)
    _bars(last, manifest.histograms["style"], "sentences by style", BLUE)
    figure.savefig(Path(folder) / SENTENCES, dpi=120, metadata={"Software": None})
    figure = Figure(figsize=(10, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    fates = {"accepted": manifest.sentences_accepted, **manifest.sentences_rejected}
    _bars(left, fates, "what became of the sentences", GREY)
    _bars(right, manifest.replies, "what replies were like", GREY)
    figure.savefig(Path(folder) / OUTCOMES, dpi=120, metadata={"Software": None})
    return {
        f"{', '.join(title for title, _ in columns.values())}, and styles".capitalize(): SENTENCES,
        "What became of sentences, and what replies were like": OUTCOMES,
    }


def _columns(axes: Axes, counts: dict[str, int], title: str, unit: str) -> None:
    """Columns over whole numbers."""
    from matplotlib.ticker import MaxNLocator

    values = [int(value) for value in counts]
    axes.bar(values, list(counts.values()), color=BLUE, width=0.9)
    if values and max(values) - min(values) < NARROW:
        axes.set_xlim(max(0, min(values) - NARROW), max(values) + NARROW)
        axes.set_xticks(range(min(values), max(values) + 1))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(MOST_TICKS, integer=True))
    axes.set(xlabel=title, ylabel=unit)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _bars(axes: Axes, counts: dict[str, int], title: str, colour: str) -> None:
    """Lying bars by name, longest first, each with its number."""
    from matplotlib.ticker import MaxNLocator

    names = sorted(counts, key=lambda name: counts[name])
    bars = axes.barh(names, [counts[name] for name in names], color=colour)
    axes.bar_label(bars, [f"{counts[name]:,}" for name in names], padding=3, fontsize=8)
    axes.set_title(title, fontsize=10)
    axes.xaxis.set_major_locator(MaxNLocator(MOST_TICKS - 1, integer=True))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.tick_params(labelsize=8)
    axes.margins(x=0.18)
    axes.spines[["top", "right"]].set_visible(False)
