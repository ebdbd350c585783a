"""What the extractor's measurements wrote -> the tables in README, and the rejection curve as SVG, light and dark.

    python -m space.report --results results --into README.md --figures results/figures

Reads rejection.json (space.calibrate), ads.json (space.measure_ads), evidence.json (space.measure_evidence) and
parity.json (space.parity).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dataset_builder.contract import StageError, run_command
from dataset_builder.markdown_parts import put_part

PART = "extractor"  # of README
FILES = ("rejection.json", "ads.json", "evidence.json", "parity.json")
WAYS = {"gate": "the gate", "nearest_skill_cosine": "cosine of the nearest skill"}
OTHERS = (
    "By Nesta's own count 27% of the skills that its extractor finds in an ad are wrong, and 12% of those that "
    "Lightcast's finds. Both shares were measured on other ads and by other judges: they stand here for scale, not as "
    "a comparison."
)
LENGTHS = {"all": "all", "over_3_tokens": "longer than three tokens"}
# background, text, grid, one colour a curve
THEMES = {
    "light": ("#ffffff", "#1f2328", "#d1d9e0", ("#0969da", "#bc4c00")),
    "dark": ("#0d1117", "#f0f6fc", "#30363d", ("#58a6ff", "#ff9d57")),
}


def read_measurements(folder: Path) -> tuple[dict[str, Any], ...]:
    """The records in the order of FILES.

    Raises:
        StageError: one is missing, or no JSON.
    """
    found = []
    for name in FILES:
        try:
            found.append(json.loads((folder / name).read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise StageError(f"{folder / name} cannot be read ({error})", "Run the command that writes it") from None
    return tuple(found)


def report(rejection: dict[str, Any], ads: dict[str, Any], evidence: dict[str, Any], parity: dict[str, Any]) -> str:
    """Four Markdown tables, five where a judge was asked, a line before each, and the shares of others; in percent.

    Raises:
        StageError: the first three records are of different weights, or one does not say of which.
    """
    measured = (rejection, ads, evidence)  # of one backend; parity is of all
    weights = {name: one.get("weights_sha256") for name, one in zip(FILES[:3], measured, strict=True)}
    if unknown := [name for name, sha256 in weights.items() if not sha256]:
        raise StageError(f"no weights are named in {', '.join(unknown)}", "Measure anew")
    if len(set(weights.values())) > 1:
        raise StageError("rejection.json, ads.json and evidence.json are of different weights", "Measure them anew")
    return "\n".join(
        [*_rejection(rejection), "", *_ads(ads, rejection), "", *_evidence(evidence), "", *_parity(parity)]
    )


def _rejection(rejection: dict[str, Any]) -> Iterator[str]:
    whole = rejection["whole_system_on_dev"]
    yield "Sentences of SkillSpan's dev set, told apart by whether people marked a skill in them:"
    yield ""
    yield "| told apart by | sentences | with a skill | AUROC | false positives at 95% recall |"
    yield "| --- | --- | ---: | ---: | ---: |"
    for length, of_length in rejection["dev"].items():
        for way, name in WAYS.items():
            one = of_length[way]
            yield (
                f"| {name} | {one['sentences']:,} {LENGTHS[length]} | {one['with_skill']:,} | {100 * one['auroc']:.1f} "
                f"| {_percent(one['false_positives_at_95_recall'])} |"
            )
    yield ""
    yield (
        f"At its threshold ({rejection['validation']['threshold']:g}) the whole extractor finds a skill in "
        f"{_percent(whole['sentences_with_skill_that_give_some'])} of those with one, and in "
        f"{_percent(whole['sentences_without_skill_that_give_some'])} of those without." + _of_names(rejection)
    )


def _of_names(rejection: dict[str, Any]) -> str:
    names = rejection.get("names")
    return f" Skills of an own list, encoded by their names, have to reach {names['threshold']:g}." if names else ""


def _ads(ads: dict[str, Any], rejection: dict[str, Any]) -> Iterator[str]:
    validation = rejection["validation"]
    count = next(iter(ads["fusion"].values()))["ads"]
    chosen = (
        "every value chosen on validation" if ads.get("threshold") is None else f"a threshold of {ads['threshold']:g}"
    )
    yield (
        f"On {count} whole ads, with {chosen}; on validation, precision is "
        f"{_percent(validation['precision'])} at a recall of {_percent(validation['recall'])}:"
    )
    yield ""
    yield "| found by | skills an ad | wrong an ad | wrong, share | of those asked for | from no-skill text, an ad |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for name, one in ads["fusion"].items():
        yield (
            f"| {name} | {one['skills_found_an_ad']:.2f} | {one['wrong_an_ad']:.2f} | {_percent(one['wrong_share'])} "
            f"| {_percent(one['asked_for_and_found'])} | {one['shown_by_no_skill_passages_an_ad']:.2f} |"
        )
    yield ""
    if said := ads.get("judged"):
        given = ads.get("threshold")
        in_use = f"{validation['threshold']:g} (in use)" if given is None else f"{given:g} (given)"
        yield from _judged(said, in_use, count)
        yield ""
    yield OTHERS


def _judged(said: dict[str, Any], in_use: str, count: int) -> Iterator[str]:
    found, swapped = said["found"], said["swapped"]
    yield (
        f"The lists of what counts as right are short. {said['judge']}, who saw the ads and not the lists, read the "
        f"{found['skills']} skills found by both, and unmarked among them {swapped['skills']} that were found in other "
        f"ads, of which it called {swapped['right']} right. Called wrong by it, with 95% intervals:"
    )
    yield ""
    yield "| threshold | skills an ad | wrong, share |"
    yield "| --- | ---: | ---: |"
    first = (in_use, {**found, "skills_an_ad": found["skills"] / count})
    for name, one in (first, *((f"{one['threshold']:g}", one) for one in said["by_threshold"])):
        wrong = 1 - one["right"] / one["skills"]
        interval = f"[{100 * (1 - one['right_high']):.1f}, {100 * (1 - one['right_low']):.1f}]"
        yield f"| {name} | {one['skills_an_ad']:.2f} | {_percent(wrong)} {interval} |"


def _evidence(evidence: dict[str, Any]) -> Iterator[str]:
    yield "Words marked as evidence against the words that people marked, on the benchmarks' validation sets:"
    yield ""
    yield "| evidence | precision | recall | F1 | touches | share of the sentence |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for name, one in evidence["evidence"].items():
        cells = (one["precision"], one["recall"], one["f1"], one["touches"], one["share_of_sentence"])
        yield f"| {name} | " + " | ".join(map(_percent, cells)) + " |"


def _parity(parity: dict[str, Any]) -> Iterator[str]:
    yield f"What other backends of {parity['reference']} find for validation sentences, against its trained weights:"
    yield ""
    yield "| backend | MB | sentences | same ten best | shared of ten | same best | RP@5 | RP@5 of the trained |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for one in parity["backends"]:
        shares = (one["same_top_10"], one["shared_of_10"], one["same_best"])
        yield (
            f"| {one['backend']} | {one['bytes'] / 1e6:.1f} | {one['queries']} | {' | '.join(map(_percent, shares))} "
            f"| {100 * one['rp_at_5']:.2f} | {100 * one['rp_at_5_of_reference']:.2f} |"
        )


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def draw_rejection(curve: dict[str, list[list[float]]], folder: Path) -> list[Path]:
    """Draw the share of sentences without a skill that pass over the share with one that pass; one file a theme."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for theme, (background, text, grid, colours) in THEMES.items():
        settings = {"svg.hashsalt": "rejection", "text.color": text, "axes.labelcolor": text, "axes.edgecolor": grid}
        with plt.rc_context({**settings, "xtick.color": text, "ytick.color": text, "font.size": 10}):
            figure, axes = plt.subplots(figsize=(6, 4), facecolor=background, layout="constrained")
            axes.set_facecolor(background)
            for (way, name), colour in zip(WAYS.items(), colours, strict=True):
                false, true = zip(*curve[way], strict=True)
                axes.plot([100 * x for x in true], [100 * x for x in false], color=colour, linewidth=2, label=name)
            axes.axvline(95, color=text, linestyle=":", linewidth=1)
            axes.set(xlim=(0, 100), ylim=(0, 100), xlabel="sentences with a skill that pass, %")
            axes.set_ylabel("sentences without a skill that pass, %")
            axes.grid(color=grid, linewidth=0.8)
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(frameon=False, labelcolor=text, loc="upper left")
            path = folder / f"rejection-{theme}.svg"
            figure.savefig(path, facecolor=background, metadata={"Date": None})
            plt.close(figure)
        written.append(path)
    return written


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m space.report", description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--into", type=Path, metavar="README.md", help="put the tables between its extractor markers")
    parser.add_argument("--figures", type=Path, metavar="DIR", help="draw the rejection curve there")
    given = parser.parse_args(arguments)
    rejection, ads, evidence, parity = read_measurements(given.results)
    text = report(rejection, ads, evidence, parity)
    if given.into:
        put_part(given.into, PART, text)
    for path in draw_rejection(rejection["curve"], given.figures) if given.figures else []:
        print(f"drawn: {path}")
    print(text)


if __name__ == "__main__":
    sys.exit(run_command(main))
