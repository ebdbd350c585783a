"""What training.bench measured <-> training_speed.json, and its tables."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from dataset_builder.contract import Record, Strict
from training.run_record import DatasetSource

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


def render(results: TrainingSpeed) -> str:
    """Two Markdown tables: speed with RP@5, and memory by batch size."""
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
    lines += _where_a_step_goes(results.speed[-1])
    if results.memory:
        sizes = sorted({one.batch_size for one in results.memory})
        lines += ["", "| Peak memory, GB | " + " | ".join(f"batch {size}" for size in sizes) + " |"]
        lines += ["|---|" + "--:|" * len(sizes)]
        for way in WAYS:
            used = [one.peak_memory_bytes / 1e9 for one in results.memory if one.way == way]
            lines.append(f"| {way} | " + " | ".join(f"{value:.2f}" for value in used) + " |")
    return "\n".join(lines)


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
