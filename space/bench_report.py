"""results/extractor.json, which space.bench wrote -> the tables of speed, latency and memory in README.

python -m space.bench_report results/extractor.json --into README.md
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
from other_systems import PACKAGE

PART = "extractor-speed"  # of README
LOOP = "loop"
MANY_ADS = 1_000_000
# Figure of a record -> column.
SHARES = {
    "share of bare encoding": "of bare encoding",
    "share of bare encoding by characters": "by characters",
}


def read_record(path: Path) -> dict[str, Any]:
    """What space.bench wrote.

    Raises:
        StageError: no such file, or not such a record.
    """
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if record["schema_version"] != 1:
            raise StageError(f"{path} has schema version {record['schema_version']!r}; this code reads 1")
        for figure in record["figures"].values():
            if _is_rate(figure) and "distinct_share" not in figure:
                raise StageError(f"{path} does not say how many passages are distinct", "Run space.bench again")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StageError(f"{path} cannot be read ({error!r})", "Run python -m space.bench") from None
    return record


def report(record: dict[str, Any]) -> str:
    """Two Markdown tables with a line before each."""
    return "\n".join([*_speed(record), "", *_latency(record)])


def _speed(record: dict[str, Any]) -> Iterator[str]:
    figures = record["figures"]
    shares = {rate["ads"]: rate["distinct_share"] for rate in figures.values() if _is_rate(rate)}
    yield (
        f"Ads of {record['sentences_an_ad']} lines and {record['words_an_ad']:.0f} words, on {record['cpu_cores']} CPU "
        f"cores, model {record['model']}; the page starts in {figures['cold start of the page, s']:.1f} s. "
        f"Passages that differ: {', '.join(f'{100 * share:.1f}% in {ads:,} ads' for ads, share in shares.items())}."
    )
    yield ""
    columns = ["ads", "ads/s", "passages/s", *SHARES.values(), "times loop", "times other", "RP@5", "memory"]
    yield f"| system | {' | '.join(columns)} |"
    yield f"| --- |{' ---: |' * len(columns)}"
    for name, rate in figures.items():
        if not _is_rate(rate):
            continue
        # "ours, onnx" and "bare encoding, onnx" rank with one encoder; what is not "ours" is no whole extractor.
        kind, _, backend = name.rpartition(", ")
        is_bare = kind == "bare encoding"
        rp_at_5, memory = (None if is_bare else figures.get(f"{what}, {backend}") for what in ("RP@5", "memory"))
        of_bare = [_percent(figures.get(f"{what}, {backend}") if kind == "ours" else None) for what in SHARES]
        yield (
            f"| {_name(name, figures)} | {rate['ads']:,} "
            f"| {rate['ads_per_s']:.1f} | {rate['sentences_per_s']:,.0f} "
            f"| {' | '.join(of_bare)} "
            f"| {_times(rate, figures.get(LOOP))} | {_times(rate, figures.get(PACKAGE))} "
            f"| {f'{100 * rp_at_5:.2f}' if rp_at_5 is not None else '-'} "
            f"| {f'{memory / 1e6:,.0f} MB' if memory is not None else '-'} |"
        )
    yield ""
    days = {
        name.removeprefix("ours, "): MANY_ADS / rate["ads_per_s"] / 86_400
        for name, rate in figures.items()
        if name.startswith("ours, ") and _is_rate(rate)
    }
    if days:
        taken = ", ".join(f"{count:.1f} days by {backend}" for backend, count in days.items())
        yield f"A million such ads take {taken}."
        yield ""
    yield (
        f"*Times loop* and *times other* compare passages a second with the loop and with {PACKAGE}; *by characters* "
        "compares the characters that are encoded each second with those of bare encoding."
    )
    left_out = [name for name in figures["left_out"] if name != LOOP]
    if left_out:
        yield ""
        yield f"Not measured here: {', '.join(left_out)}."


def _is_rate(figure: Any) -> bool:
    return isinstance(figure, dict) and "sentences_per_s" in figure


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f}%"


def _times(rate: dict[str, Any], other: dict[str, Any] | None) -> str:
    return f"{rate['sentences_per_s'] / other['sentences_per_s']:.1f}" if other else "-"


def _name(name: str, figures: dict[str, Any]) -> str:
    if name == PACKAGE:
        return f"{PACKAGE} {figures.get(f'{PACKAGE} version', '')}".strip()
    return "a loop over sentence-transformers" if name == LOOP else name


def _latency(record: dict[str, Any]) -> Iterator[str]:
    yield (
        "How long `find_skills` takes for one such ad where so many threads ask at once, as the page's visitors do; "
        "the page's own queue and the way through HTTP come on top:"
    )
    yield ""
    yield "| backend | at once | median | 95% take at most |"
    yield "| --- | ---: | ---: | ---: |"
    for name, waits in record["figures"].items():
        if name.startswith("latency, "):
            for visitors, wait in waits.items():
                backend = name.removeprefix("latency, ")
                yield f"| {backend} | {visitors} | {wait['median_s']:.2f} s | {wait['p95_s']:.2f} s |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m space.bench_report", description=__doc__.splitlines()[0])
    parser.add_argument("record", type=Path, nargs="?", default=Path("results/extractor.json"))
    parser.add_argument("--into", type=Path, metavar="README.md", help="put the tables between its markers")
    given = parser.parse_args(arguments)
    text = report(read_record(given.record))
    if given.into:
        put_part(given.into, PART, text)
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(run_command(main))
