"""Runs of one recipe with several seeds -> one model with the mean of their weights, and its record.

A uniform "model soup" (Wortsman et al. 2022, arXiv 2203.05482): runs that start from the same pretrained encoder end
near enough to each other that the mean of their weights is a model as well, at the cost of one, less a matter of luck.
"""

from __future__ import annotations

import dataclasses
import shutil
import statistics
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file, save_file

from dataset_builder.contract import StageError, code_version, shown_command
from training.base_model import open_encoder, sha256_of_weights, weight_files
from training.prepare import Prepared, RunOptions
from training.recipe import Recipe
from training.run import (
    CHECKPOINTS,
    TENSORBOARD,
    begin,
    holds_this_run,
    is_first_process,
    last_line,
    prepare_quietly,
    ranking_of,
    run_prepared,
    say,
)
from training.run_record import AveragedRun, TrainingRecord, ValidationPoint


def run_seeds(recipe: Recipe, seeds: Sequence[int], options: RunOptions) -> TrainingRecord | None:
    """Train once a seed in `checkpoints/seed-N` of the output folder, and leave the mean of the weights there.

    An interrupted call goes on: seeds that are done are not trained again.

    Returns:
        The record; None in all processes but the first, which alone writes.

    Raises:
        StageError: an input that cannot be read, a folder that holds another model, or a run that failed.
    """
    prepared = prepare_quietly(dataclasses.replace(recipe, seed=seeds[0]), options)
    if holds_this_run(prepared, seeds):
        say(f"{options.out} holds this very model already; nothing to do")
        return TrainingRecord.load(options.out)
    begin(prepared, seeds)
    members = [run_prepared(prepared.with_seed(seed, _member(options.out, seed))) for seed in seeds]
    if not is_first_process():
        return None
    return _average(prepared, seeds, [member for member in members if member])


def write_average(folders: Sequence[Path], out: Path) -> None:
    """Write the first model's folder with the mean of all models' weights, in the type that they are kept in.

    Raises:
        StageError: the models have other weights than the first.
    """
    # A run's own checkpoints, where they were kept, would stand where the average's runs are told from others.
    rest = shutil.ignore_patterns("*.safetensors", TrainingRecord.FILE_NAME, TENSORBOARD, CHECKPOINTS)
    shutil.copytree(folders[0], out, ignore=rest, dirs_exist_ok=True)
    for file in weight_files(folders[0]):
        parts = [folder / file.relative_to(folders[0]) for folder in folders]
        for folder, part in zip(folders, parts, strict=True):
            if not part.is_file() or _shapes(part) != _shapes(file):
                raise StageError(f"{folder} holds other weights than {folders[0]}", "Average runs of one recipe")
        first = load_file(file)
        total = {name: tensor.double() for name, tensor in first.items()}
        for part in parts[1:]:
            for name, tensor in load_file(part).items():
                total[name] += tensor.double()
        mean = {name: (total[name] / len(parts)).to(tensor.dtype).contiguous() for name, tensor in first.items()}
        save_file(mean, out / file.relative_to(folders[0]), metadata={"format": "pt"})


def _member(out: Path, seed: int) -> Path:
    return out / CHECKPOINTS / f"seed-{seed}"


def _shapes(file: Path) -> dict[str, list[int]]:
    with safe_open(file, framework="pt") as weights:
        return {name: weights.get_slice(name).get_shape() for name in weights.keys()}


def _average(prepared: Prepared, seeds: Sequence[int], members: Sequence[TrainingRecord]) -> TrainingRecord:
    """Write the mean of the weights, measure it, and write the record last."""
    options, out = prepared.options, prepared.options.out
    folders = [_member(out, seed) for seed in seeds]
    write_average(folders, out)
    for seed, folder in zip(seeds, folders, strict=True):
        shutil.copytree(folder / TENSORBOARD, out / TENSORBOARD / f"seed-{seed}", dirs_exist_ok=True)
    measure = _measurer(prepared)
    steps, seconds = sum(one.steps for one in members), [one.duration_s for one in members]
    energy = [one.energy_kwh for one in members]
    record = members[0].model_copy(
        update={
            "name": options.name or out.resolve().name,
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "code_version": code_version(),
            "command": shown_command("training.train", options.command),
            "averaged": tuple(_summary(one, measure(folder)) for one, folder in zip(members, folders, strict=True)),
            "steps": steps,
            "pairs_per_s": statistics.harmonic_mean([one.pairs_per_s for one in members]),
            "duration_s": sum(seconds),
            "energy_kwh": None if None in energy else sum(one or 0.0 for one in energy),
            "losses": [],
            "validation": [ValidationPoint(step=steps, metrics=found) for found in [measure(out)] if found],
            "best_step": steps,
            "weights_sha256": sha256_of_weights(out),
        }
    )
    record.save(out)
    if not options.keep_checkpoints:
        shutil.rmtree(out / CHECKPOINTS)
    say(last_line(record, out))
    return record


def _summary(record: TrainingRecord, validation: dict[str, float]) -> AveragedRun:
    return AveragedRun(
        seed=record.seed,
        code_version=record.code_version,
        inputs_sha256=record.inputs_sha256,
        steps=record.steps,
        last_loss=record.losses[-1].loss if record.losses else None,
        validation=validation,
        weights_sha256=record.weights_sha256,
    )


def _measurer(prepared: Prepared) -> Callable[[Path], dict[str, float]]:
    """What gives a model's validation by name, in [0, 1]; nothing where the recipe measures nothing."""
    ranking = ranking_of(prepared, prepared.recipe.stages[-1])
    if ranking is None or not prepared.recipe.validation.times_per_epoch:
        return lambda folder: {}
    return lambda folder: ranking(open_encoder(folder))
