"""What training.bench measured <-> training_speed.json, and its tables.

python -m training.bench_report results/training_speed.json --into training/README.md
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from dataset_builder.contract import Record, Strict, run_command
from dataset_builder.markdown_parts import put_part
from training.run_record import DatasetSource

PART = "training-speed"  # of training/README.md
WAYS = ("plain", "ours", "ours cached")
WAITING = "nothing computes: Python, launches, the next batch"


class Measurement(Strict):
    """One way of training at one batch size.

    `max_tokens` is where texts are cut, None where nowhere; `pairs_per_s` is of the steps alone; `rp_at_5` by set;
    `model_flops_per_s` as training.model_flops counts them, None for what is no transformer or was not asked;
    `step_seconds` are those of one step by kind of operation, as training.step_times finds them, where it was asked.
    """

    way: str
    batch_size: int
    steps: int
    precision: str
    max_tokens: int | None
    pairs_per_s: float
    peak_memory_bytes: int
    rp_at_5: dict[str, float]
    model_flops_per_s: float | None = None
    step_seconds: dict[str, float] = Field(default_factory=dict)


class TrainingSpeed(Record):
    """All measurements of one run of the bench.

    `sentence_lengths` counts the stage's texts by tokens before any limit, in steps of eight; `matrix_flops_per_s` is
    the device's best bf16 matrix product.
    """

    FILE_NAME: ClassVar[str] = "training_speed.json"
    SCHEMA_VERSION: ClassVar[int] = 2

    code_version: str
    processor: str
    device: str
    cpu_cores: int
    recipe_name: str
    base_model: str
    dataset: DatasetSource
    sentence_lengths: dict[str, int]
    matrix_flops_per_s: float
    speed: list[Measurement]
    memory: list[Measurement]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables of a record that was written before."""
    parser = argparse.ArgumentParser(prog="python -m training.bench_report", description=__doc__)
    parser.add_argument("results", help="results/training_speed.json")
    parser.add_argument("--into", metavar="MD", help="put the tables between their markers")
    given = parser.parse_args(arguments)
    tables = render(TrainingSpeed.load(given.results))
    if given.into:
        put_part(given.into, PART, tables)
    sys.stdout.write(tables + "\n")


def render(results: TrainingSpeed) -> str:
    """Two Markdown tables, speed with RP@5 and memory by batch size, and the texts' lengths between them."""
    plain = results.speed[0]
    sets = list(plain.rp_at_5)
    heads = ["Training", "Precision", "Tokens", "Pairs/s", "Speed", "Of the matrix rate"]
    heads += [f"{name.replace('_', ' ')} after {plain.steps} steps" for name in sets]
    lines = ["| " + " | ".join(heads) + " |", "|---|---|" + "--:|" * (len(heads) - 2)]
    for one in results.speed:
        cells = [one.way, one.precision, str(one.max_tokens or "all"), f"{one.pairs_per_s:.1f}"]
        cells += [f"{one.pairs_per_s / plain.pairs_per_s:.2f}x", _share(one, results)]
        lines.append("| " + " | ".join([*cells, *(f"{100 * one.rp_at_5[name]:.2f}" for name in sets)]) + " |")
    device = results.processor if results.device == "cpu" else f"{results.device}, {results.processor}"
    lines += [
        "",
        f"{results.base_model} on {results.dataset.id}, recipe {results.recipe_name}, batch {plain.batch_size}, "
        f"{device}, {results.cpu_cores} cores. Matrix rate: {results.matrix_flops_per_s / 1e12:.2f} TFLOP/s in bf16.",
    ]
    if results.sentence_lengths:
        lines += ["", _lengths(results.sentence_lengths)]
    lines += _where_a_step_goes(results.speed[-1])
    if results.memory:
        sizes = sorted({one.batch_size for one in results.memory})
        lines += ["", "| Peak memory, GB | " + " | ".join(f"batch {size}" for size in sizes) + " |"]
        lines += ["|---|" + "--:|" * len(sizes)]
        for way in WAYS:
            used = {one.batch_size: f"{one.peak_memory_bytes / 1e9:.2f}" for one in results.memory if one.way == way}
            lines.append(f"| {way} | " + " | ".join(used.get(size, "not measured") for size in sizes) + " |")
    return "\n".join(lines)


def _lengths(counts: dict[str, int]) -> str:
    """Share of the texts by length, up to the length that all but the longest 1% are within."""
    texts, shown, left = sum(counts.values()), [], sum(counts.values())
    for tokens, count in counts.items():
        if left <= texts / 100:
            shown.append(f"more {left / texts:.1%}")
            break
        shown.append(f"{tokens} {count / texts:.1%}")
        left -= count
    return f"Tokens of its {texts:,} texts, none cut off: {', '.join(shown)}."


def _where_a_step_goes(one: Measurement) -> list[str]:
    """A table of a step's parts and of what is left of it, in which nothing computes."""
    if not one.step_seconds:
        return []
    step = one.batch_size / one.pairs_per_s
    parts = {**one.step_seconds, WAITING: max(step - sum(one.step_seconds.values()), 0.0)}
    lines = ["", f"| A step of {one.way}, {1000 * step:.1f} ms | ms | Share |", "|---|--:|--:|"]
    return lines + [f"| {kind} | {1000 * part:.2f} | {part / step:.1%} |" for kind, part in parts.items()]


def _share(one: Measurement, results: TrainingSpeed) -> str:
    return "-" if one.model_flops_per_s is None else f"{one.model_flops_per_s / results.matrix_flops_per_s:.1%}"


if __name__ == "__main__":
    sys.exit(run_command(main))
