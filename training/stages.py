"""One stage of a recipe: pairs and an encoder -> a trained encoder in the stage's folder, resumable at any time.

A stage's folder holds the trainer's checkpoints while it runs; `model/` and then stage.json end it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch.utils.tensorboard import SummaryWriter
from transformers import TrainerCallback
from transformers.integrations import TensorBoardCallback

from dataset_builder.contract import Record, StageError
from training.augmentation import Augmenter, words_of_skills
from training.base_model import is_static, need_transformer, open_encoder, without_normalisation
from training.batches import PairCollator, StageExamples
from training.callbacks import Bar, Marks, MemoryRefresher
from training.label_memory import LabelMemory
from training.limits import preprocess_of
from training.losses import make_loss
from training.machine import is_out_of_memory, on_cpu
from training.neighbours import HardNegatives, SkillLinks, linked_skills, merged, near_skills, nearest_skills, siblings
from training.pair_sources import Inputs
from training.pairs import StagePairs, hidden_skills
from training.recipe import Recipe, Stage
from training.run_record import LossPoint, ValidationPoint
from training.trainer import SkillTrainer, training_arguments
from training.validation import SkillRanking

MODEL_FOLDER = "model"


class StageOutcome(Record):
    """What came of a stage; its presence means that the stage is done."""

    FILE_NAME: ClassVar[str] = "stage.json"
    SCHEMA_VERSION: ClassVar[int] = 1

    steps: int
    epochs: float
    best_step: int
    pairs_seen: int
    seconds: float
    train_seconds: float
    energy_kwh: float | None
    peak_memory_bytes: int
    losses: list[LossPoint]
    validation: list[ValidationPoint]


@dataclass(frozen=True)
class StageJob:
    """One stage with everything it runs on.

    `start` is the folder of the encoder to begin with, `stock` that of the recipe's base model, whose embeddings say
    which labels are near each other. `callbacks` are more of the trainer's, for who wants to watch.
    """

    recipe: Recipe
    stage: Stage
    pairs: StagePairs
    inputs: Inputs
    start: Path
    stock: Path
    folder: Path
    tensorboard: Path
    evaluator: SkillRanking | None
    watts: float | None = None
    callbacks: tuple[TrainerCallback, ...] = ()

    @property
    def model_folder(self) -> Path:
        """Where the trained encoder lies once the stage is done."""
        return self.folder / MODEL_FOLDER

    @property
    def select_by(self) -> str | None:
        """The metric by which the best checkpoint is kept; None where nothing is measured."""
        measured = self.evaluator is not None and self.recipe.validation.times_per_epoch > 0
        return self.evaluator.primary_metric if measured and self.evaluator else None


def run_stage(job: StageJob) -> StageOutcome:
    """Train one stage, or go on with it, or return at once what a finished one left.

    Raises:
        StageError: out of memory, a loss that is no number, or a loss that does not fit the encoder.
    """
    if (job.folder / StageOutcome.FILE_NAME).is_file():
        return StageOutcome.load(job.folder)
    need_transformer(job.start, job.stage.loss)
    encoder = open_encoder(job.start)
    if job.stage.loss.by_tokens:
        encoder = without_normalisation(encoder)
    trainer = _trainer_of(job, encoder)
    checkpoint = last_whole_checkpoint(job.folder)
    trainer.args.eval_on_start &= checkpoint is None  # a run that goes on has it in its log
    bar = Bar(job.stage.name, _pairs_per_step(job, trainer), job.select_by, trainer.clock)
    for callback in (bar, *job.callbacks):
        trainer.add_callback(callback)
    try:
        _with_errors_for_people(job, lambda: trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint)))
    finally:
        bar.close()
    outcome = _outcome_of(job, trainer)
    if trainer.is_world_process_zero():
        encoder.save_pretrained(str(job.model_folder), create_model_card=False)
        outcome.save(job.folder)
    trainer.accelerator.wait_for_everyone()
    return outcome


def last_whole_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end: the trainer's state is the last file of one."""
    found = [path for path in folder.glob("checkpoint-*") if _is_json(path / "trainer_state.json")]
    return max(found, key=lambda path: int(re.sub(r"\D", "", path.name)), default=None)


def _is_json(path: Path) -> bool:
    """Whether a file is there and whole: a kill may leave half of it."""
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def _trainer_of(job: StageJob, encoder: Any) -> SkillTrainer:
    recipe, stage = job.recipe, job.stage
    select_by = f"eval_{job.select_by}" if job.select_by else None
    arguments = training_arguments(recipe, stage, job.folder, select_by)
    if arguments.n_gpu > 1:
        raise StageError(
            f"{arguments.n_gpu} GPUs are to be seen, and one process would spread each batch over them",
            "Use accelerate launch with training/accelerate/multi_gpu.yaml, or set CUDA_VISIBLE_DEVICES=0",
        )
    preprocess, every = preprocess_of(encoder, recipe.max_tokens), stage.loss.label_memory
    labels = job.inputs.labels
    collator = PairCollator(preprocess, labels)
    memory = LabelMemory(encoder, preprocess, labels.labels, every, _never_of(job)) if every else None
    chunk_size = recipe.chunk_size if on_cpu() else 0  # a GPU would rather have it all at once
    near = _near_of(job)
    trainer = SkillTrainer(
        examples=StageExamples(
            Augmenter(stage.augmentation, job.pairs.pairs, recipe.seed, words_of_skills(labels.labels)),
            near=near,
            negatives=_negatives_of(job, near),
            mask_joined="joined" in stage.loss.mask,
        ),
        collator=collator,
        watts=job.watts,
        model=encoder,
        args=arguments,
        loss=make_loss(encoder, stage.loss, chunk_size, memory),
        evaluator=job.evaluator if job.select_by else None,
    )
    times = recipe.validation.times_per_epoch if job.select_by else 0
    if memory is not None:
        trainer.add_callback(MemoryRefresher(memory))
    trainer.add_callback(Marks(times, recipe.checkpoints_per_epoch, stage.epochs))
    if trainer.is_world_process_zero():
        trainer.add_callback(TensorBoardCallback(SummaryWriter(str(job.tensorboard / stage.name))))
    return trainer


def _near_of(job: StageJob) -> SkillLinks:
    """Skills that must not be negatives of a skill, as the loss's masks ask for."""
    mask = job.stage.loss.mask
    links = [linked_skills(job.inputs.esco, job.inputs.labels)] if "linked" in mask and job.inputs.esco else []
    if "linked" in mask and not job.inputs.esco:
        raise StageError("the mask 'linked' needs ESCO", "Give --esco ZIP_OR_FOLDER_OR_VERSION")
    if "near" in mask:
        links.append(near_skills(_stock_embeddings(job), job.stage.loss.near_threshold))
    return merged(*links)


def _negatives_of(job: StageJob, near: SkillLinks) -> HardNegatives | None:
    wanted = job.stage.negatives
    if not wanted.count:
        return None
    labels, never = job.inputs.labels, _never_of(job)
    if wanted.kind == "mined":
        pools = nearest_skills(_stock_embeddings(job), wanted.pool, wanted.skip_nearest)
    elif job.inputs.esco:
        pools = siblings(job.inputs.esco, labels)
    else:
        raise StageError("hard negatives from the hierarchy need ESCO", "Give --esco ZIP_OR_FOLDER_OR_VERSION")
    return HardNegatives(pools, near, wanted.count, len(labels.labels), job.recipe.seed, never)


def _never_of(job: StageJob) -> set[int]:
    """Ids that are nobody's negatives: skills held out, which would be pushed away, and labels that are there twice."""
    twins = {twin for those in job.inputs.labels.twins.values() for twin in those}
    return twins | hidden_skills(job.inputs.labels, job.recipe.held_out_folds)


def _stock_embeddings(job: StageJob) -> Any:
    stock = open_encoder(job.stock)
    return stock.encode(list(job.inputs.labels.labels), batch_size=128, normalize_embeddings=True)


def _with_errors_for_people(job: StageJob, train: Callable[[], Any]) -> None:
    try:
        train()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        loss, batch = job.stage.loss, job.stage.batch_size
        smaller = max((loss.mini_batch or batch) // 4, 2)
        whole = loss.by_tokens or is_static(job.start)
        cached = "" if whole else f"loss.mini_batch: {smaller} (same result, less memory) or "
        raise StageError(
            f"out of memory with {batch} pairs a batch and {job.recipe.max_tokens} tokens",
            f"Set {cached}a smaller batch_size, and give another --out",
        ) from error


def _outcome_of(job: StageJob, trainer: SkillTrainer) -> StageOutcome:
    state = trainer.state
    losses = [LossPoint(step=entry["step"], loss=entry["loss"]) for entry in state.log_history if "loss" in entry]
    validation = [_validation_point(entry) for entry in state.log_history if _has_validation(entry)]
    clock = trainer.clock.read()
    return StageOutcome(
        schema_version=StageOutcome.SCHEMA_VERSION,
        steps=state.global_step,
        epochs=float(state.epoch or 0.0),
        best_step=(state.best_global_step or state.global_step) if job.select_by else state.global_step,
        pairs_seen=_pairs_seen(job, state.global_step, trainer.args.world_size),
        seconds=clock["seconds"],
        train_seconds=clock["train_seconds"],
        energy_kwh=clock.get("energy_kwh"),
        peak_memory_bytes=peak_memory_bytes(),
        losses=losses,
        validation=validation,
    )


def _pairs_per_step(job: StageJob, trainer: SkillTrainer) -> int:
    batch = min(job.stage.batch_size, len(job.pairs.pairs))
    return int(batch * job.stage.gradient_accumulation * trainer.args.world_size)


def _pairs_seen(job: StageJob, steps: int, processes: int) -> int:
    """Pairs of all steps together: the last step of an epoch has what is left of its batches."""
    batch, accumulated = min(job.stage.batch_size, len(job.pairs.pairs)), job.stage.gradient_accumulation
    batches = len(job.pairs.pairs) // batch // processes
    epochs, rest = divmod(steps, -(-batches // accumulated))
    return (epochs * batches + min(rest * accumulated, batches)) * batch * processes


def _has_validation(entry: dict[str, Any]) -> bool:
    return any(key.startswith("eval_rp@") for key in entry)


def _validation_point(entry: dict[str, Any]) -> ValidationPoint:
    metrics = {key.removeprefix("eval_"): value for key, value in entry.items() if key.startswith("eval_rp@")}
    return ValidationPoint(step=entry["step"], metrics=metrics)


def peak_memory_bytes() -> int:
    """Most memory used so far: the GPU's where there is one, else this process's."""
    if not on_cpu():
        return int(torch.cuda.max_memory_allocated())
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
