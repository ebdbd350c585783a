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
            if isinstance(figure, dict) and "sentences_per_s" in figure and "distinct_share" not in figure:
                raise StageError(f"{path} does not say how many passages are distinct", "Run space.bench again")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StageError(f"{path} cannot be read ({error!r})", "Run python -m space.bench") from None
    return record


def report(record: dict[str, Any]) -> str:
    """Two Markdown tables with a line before each."""
    return "\n".join([*_speed(record), "", *_latency(record)])


def _speed(record: dict[str, Any]) -> Iterator[str]:
    figures = record["figures"]
    yield (
        f"Ads of {record['sentences_an_ad']} lines and {record['words_an_ad']:.0f} words, on {record['cpu_cores']} CPU "
        f"cores, model {record['model']}; the page starts in {figures['cold start of the page, s']:.1f} s:"
    )
    yield ""
    heads = "system | ads | distinct passages | ads/s | passages/s | of bare encoding | times the loop | RP@5 | memory"
    yield f"| {heads} |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    loop = figures.get(LOOP)
    for name, rate in figures.items():
        if not (isinstance(rate, dict) and "sentences_per_s" in rate):
            continue
        times = f"{rate['sentences_per_s'] / loop['sentences_per_s']:.1f}" if loop else "-"
        # "ours, onnx" and "bare encoding, onnx" rank with one encoder; memory is of the whole extractor.
        kind, _, backend = name.rpartition(", ")
        rp_at_5 = figures.get(f"RP@5, {backend}") if kind != "bare encoding" else None
        memory = figures.get(f"memory, {backend}") if kind == "ours" else None
        share = figures.get(f"share of bare encoding, {backend}") if kind == "ours" else None
        yield (
            f"| {_name(name, figures)} | {rate['ads']:,} | {100 * rate['distinct_share']:.1f}% "
            f"| {rate['ads_per_s']:.1f} | {rate['sentences_per_s']:,.0f} "
            f"| {f'{100 * share:.0f}%' if share is not None else '-'} | {times} "
            f"| {f'{100 * rp_at_5:.2f}' if rp_at_5 is not None else '-'} "
            f"| {f'{memory / 1e6:,.0f} MB' if memory is not None else '-'} |"
        )
    left_out = [name for name in figures["left_out"] if name != LOOP]
    if left_out:
        yield ""
        yield f"Not measured here: {', '.join(left_out)}."


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
