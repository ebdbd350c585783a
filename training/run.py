"""A recipe and its inputs' places -> a model folder: reads the inputs, runs the stages, writes the record last."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from transformers import set_seed
from transformers.utils.logging import disable_progress_bar

from dataset_builder.contract import StageError, code_version, shown_command, write_atomically
from training.base_model import need_transformer, sha256_of_weights, stored_prompts
from training.energy import EnergyMeter
from training.machine import hardware, precision_in_use, use_threads
from training.prepare import Prepared, RunOptions, prepare
from training.recipe import Recipe, Stage, comparable
from training.run_record import (
    DatasetSource,
    LossPoint,
    TrainingRecord,
    ValidationPoint,
)
from training.stages import MODEL_FOLDER, StageJob, StageOutcome, run_stage
from training.validation import DEFAULT_METRIC, SkillRanking, load_metric, need_benchmark

CHECKPOINTS, TENSORBOARD, RUN_FILE = "checkpoints", "tensorboard", "run.json"
LIBRARIES = ("sentence-transformers", "transformers", "torch", "accelerate", "datasets")


def run_training(recipe: Recipe, options: RunOptions) -> TrainingRecord | None:
    """Train all stages of a recipe, going on where an interrupted run of the same recipe and inputs stopped.

    Returns:
        The record; None in all processes but the first, which alone writes.

    Raises:
        StageError: an input that cannot be read, a folder that holds another run, or a stage that failed.
    """
    return run_prepared(prepare_quietly(recipe, options))


def prepare_quietly(recipe: Recipe, options: RunOptions) -> Prepared:
    """Read a run's inputs with the threads that it was given, without the library's own bars.

    Raises:
        StageError: an input that cannot be read, or a stage without pairs.
    """
    disable_progress_bar()  # for files of a moment
    use_threads(options.threads)
    # A folder that is done, or none at all, gets nothing more.
    goes_on = not options.out.is_file() and not (options.out / TrainingRecord.FILE_NAME).is_file()
    prepared = prepare(recipe, options, options.out / CHECKPOINTS if goes_on else None)
    prompts = ", ".join(stored_prompts(prepared.base.folder))
    if prompts:
        say(f"the base model's prompts ({prompts}) are left out, here and in the model that is saved")
    return prepared


def run_prepared(prepared: Prepared) -> TrainingRecord | None:
    """What `run_training` does, of inputs that are read already."""
    options = prepared.options
    if holds_this_run(prepared):
        say(f"{options.out} holds this very model already; nothing to do")
        return TrainingRecord.load(options.out)
    _tell_plan(prepared)
    outcomes = _run_stages(prepared)
    if not is_first_process():
        return None  # the first one is about to clear up what a record is made from
    record = make_record(prepared, outcomes)
    _finish(prepared, record)
    say(last_line(record, options.out))
    return record


def holds_this_run(prepared: Prepared, seeds: Sequence[int] = ()) -> bool:
    """Whether the output folder is done; refuses one that holds, or is becoming, another model.

    Args:
        prepared: the run, with the first seed of several.
        seeds: of the runs whose weights are averaged; none for one run alone.
    """
    out = prepared.options.out
    if out.is_file():
        raise StageError(f"{out} is a file", "Give another --out")
    remedy = "Give another --out, or remove that folder"
    if (out / TrainingRecord.FILE_NAME).is_file():
        record = TrainingRecord.load(out)
        same = (
            comparable(record.recipe) == comparable(prepared.recipe.as_dict())
            and tuple(one.seed for one in record.averaged) == tuple(seeds)
            and record.dataset.sha256 == prepared.inputs.dataset.sha256
            and record.base_model.weights_sha256 == prepared.base.source.weights_sha256
            and record.label_space_sha256 == prepared.inputs.labels.sha256
            and record.inputs_sha256 in (None, prepared.sha256)
        )
        if not same:
            raise StageError(f"{out} holds a model of another recipe or other inputs", remedy)
        return True
    begun = out / CHECKPOINTS / RUN_FILE
    if begun.is_file():
        before, now = {"seeds": [], **json.loads(begun.read_text(encoding="utf-8"))}, _run_of(prepared, seeds)
        before, now = ({**one, "recipe": comparable(one["recipe"])} for one in (before, now))
        other = ", ".join(name for name in now if before.get(name) != now[name])
        if other:
            raise StageError(f"{out / CHECKPOINTS} was begun with another recipe or other inputs ({other})", remedy)
    return False


def begin(prepared: Prepared, seeds: Sequence[int] = ()) -> None:
    """Write down what the output folder is becoming.

    Raises:
        StageError: the checkpoint is to be chosen by a benchmark that is none, or a loss does not fit the encoder.
    """
    for stage in prepared.recipe.stages:
        need_transformer(prepared.base.folder, stage.loss)
    need_benchmark(prepared.validation, prepared.recipe.validation.metric)
    if is_first_process():
        content = json.dumps(_run_of(prepared, seeds), indent=1) + "\n"
        write_atomically(prepared.options.out / CHECKPOINTS / RUN_FILE, content)


def _run_of(prepared: Prepared, seeds: Sequence[int]) -> dict[str, Any]:
    """What must be equal for a run to be gone on with: steps are counted by all processes together."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    precision = precision_in_use(prepared.recipe.precision)
    return {**prepared.identity, "seeds": list(seeds), "processes": processes, "precision": precision}


def _run_stages(prepared: Prepared) -> list[StageOutcome]:
    options, recipe = prepared.options, prepared.recipe
    begin(prepared)
    start, outcomes = prepared.base.folder, []
    for number, (stage, pairs) in enumerate(zip(recipe.stages, prepared.pairs, strict=True), start=1):
        set_seed(recipe.seed)
        job = StageJob(
            recipe=recipe,
            stage=stage,
            pairs=pairs,
            inputs=prepared.inputs,
            start=start,
            stock=prepared.base.folder,
            folder=options.out / CHECKPOINTS / f"{number}-{stage.name}",
            tensorboard=options.out / TENSORBOARD,
            evaluator=ranking_of(prepared, stage),
            watts=options.watts,
        )
        outcomes.append(run_stage(job))
        start = job.model_folder
    return outcomes


def ranking_of(prepared: Prepared, stage: Stage) -> SkillRanking | None:
    """What measures a stage's encoder on the validation sentences; None where none were given."""
    if prepared.validation is None:
        return None
    metric, wanted = load_metric(prepared.options.metric or DEFAULT_METRIC), prepared.recipe.validation
    labels, share = prepared.inputs.labels, stage.loss.token_share
    return SkillRanking(prepared.validation, labels, metric, wanted.k, wanted.metric, share)


def make_record(prepared: Prepared, outcomes: Sequence[StageOutcome]) -> TrainingRecord:
    """The record of a finished run; steps count through all stages."""
    options, recipe, inputs = prepared.options, prepared.recipe, prepared.inputs
    last = options.out / CHECKPOINTS / f"{len(recipe.stages)}-{recipe.stages[-1].name}" / MODEL_FOLDER
    before = [sum(outcome.steps for outcome in outcomes[:number]) for number in range(len(outcomes))]
    measured, energy = [outcome.energy_kwh for outcome in outcomes], EnergyMeter(options.watts).read()
    gap = None in measured and energy.kwh is not None
    return TrainingRecord(
        schema_version=TrainingRecord.SCHEMA_VERSION,
        name=options.name or options.out.resolve().name,
        version=options.version or inputs.dataset.version,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        code_version=code_version(),
        command=shown_command("training.train", options.command),
        recipe_name=recipe.name,
        recipe=recipe.as_dict(),
        seed=recipe.seed,
        base_model=prepared.base.source,
        dataset=DatasetSource(
            id=inputs.dataset.id,
            revision=inputs.dataset.revision,
            version=inputs.dataset.version,
            sha256=inputs.dataset.sha256,
        ),
        sources=[count for pairs in prepared.pairs for count in pairs.counts],
        label_space_version=inputs.labels.version,
        label_space_sha256=inputs.labels.sha256,
        inputs_sha256=prepared.sha256,
        sources_sha256=prepared.sources_sha256,
        teacher=prepared.teacher,
        precision=precision_in_use(recipe.precision),
        steps=sum(outcome.steps for outcome in outcomes),
        epochs=sum(outcome.epochs for outcome in outcomes),
        pairs_per_s=sum(outcome.pairs_seen for outcome in outcomes)
        / max(sum(outcome.train_seconds for outcome in outcomes), 1e-9),
        duration_s=sum(outcome.seconds for outcome in outcomes),
        energy_kwh=None if None in measured else sum(value or 0.0 for value in measured),
        energy_method="not measured: a part of the run had no energy counter" if gap else energy.method,
        hardware=hardware(max(outcome.peak_memory_bytes for outcome in outcomes)),
        libraries={name: version_of(name) for name in LIBRARIES},
        losses=[
            LossPoint(step=point.step + offset, loss=point.loss)
            for outcome, offset in zip(outcomes, before, strict=True)
            for point in outcome.losses
        ],
        validation=[
            ValidationPoint(step=point.step + offset, metrics=point.metrics)
            for outcome, offset in zip(outcomes, before, strict=True)
            for point in outcome.validation
        ],
        best_step=before[-1] + outcomes[-1].best_step,
        weights_sha256=sha256_of_weights(last),
    )


def _finish(prepared: Prepared, record: TrainingRecord) -> None:
    """Put the last stage's encoder in place, then the record, then let go of the checkpoints."""
    out, recipe = prepared.options.out, prepared.recipe
    trained = out / CHECKPOINTS / f"{len(recipe.stages)}-{recipe.stages[-1].name}" / MODEL_FOLDER
    shutil.copytree(trained, out, dirs_exist_ok=True)
    record.save(out)
    if not prepared.options.keep_checkpoints:
        shutil.rmtree(out / CHECKPOINTS)


def _tell_plan(prepared: Prepared) -> None:
    recipe = prepared.recipe
    say(f"recipe {recipe.name}, seed {recipe.seed}, {len(prepared.inputs.labels.labels):,} labels to rank")
    for stage, pairs in zip(recipe.stages, prepared.pairs, strict=True):
        mixed = ", ".join(f"{count.pairs:,} {count.name}" for count in pairs.counts)
        say(f"  stage {stage.name}: {mixed} pairs; {stage.epochs} epoch(s) in batches of {stage.batch_size}")
        for reason, count in pairs.left_out.items():
            say(f"    left out: {count:,} ({reason})")
    if prepared.validation:
        sizes = ", ".join(f"{len(one.queries)} {one.name}" for one in prepared.validation.benchmarks)
        shared = prepared.validation.shared_with_test
        say(f"  validation sentences: {sizes} ({shared} left out that stand in a test set)")


def last_line(record: TrainingRecord, out: Path) -> str:
    """What a run says when it is done."""
    best = [point.metrics for point in record.validation if point.step == record.best_step]
    values = ", ".join(f"{name} {100 * value:.2f}" for name, value in best[-1].items()) if best else "not measured"
    return (
        f"{out}: {record.steps:,} steps, {record.duration_s / 60:.1f} minutes, {record.pairs_per_s:.0f} pairs/s, "
        f"validation at step {record.best_step}: {values}"
    )


def say(line: str) -> None:
    """Print from the first process alone."""
    if is_first_process():
        print(line, flush=True)


def is_first_process() -> bool:
    """Whether this is the process that writes."""
    return os.environ.get("RANK", "0") == "0"
