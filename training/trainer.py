"""SentenceTransformerTrainer with our batches, our marks for measuring and saving, a bar, and errors for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from torch import nn
from torch.utils.data import DataLoader
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from dataset_builder.contract import StageError
from training.batches import EpochBatches, PairCollator, StageExamples
from training.callbacks import Clock, EpochSetter
from training.machine import on_cpu, precision_in_use
from training.recipe import OPTIMIZERS, Recipe, Stage

NEVER = 10**9


def training_arguments(
    recipe: Recipe, stage: Stage, folder: Path, select_by: str | None
) -> SentenceTransformerTrainingArguments:
    """The library's arguments for one stage.

    Args:
        recipe: precision, seed and logging.
        stage: optimiser and schedule.
        folder: where checkpoints go.
        select_by: the metric that chooses the best checkpoint; None keeps the last.
    """
    return SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        num_train_epochs=stage.epochs,
        max_steps=stage.max_steps or -1,
        per_device_train_batch_size=stage.batch_size,
        gradient_accumulation_steps=stage.gradient_accumulation,
        learning_rate=stage.learning_rate,
        weight_decay=stage.weight_decay,
        warmup_steps=stage.warmup,
        lr_scheduler_type="constant_with_warmup" if stage.schedule == "constant" else stage.schedule,
        max_grad_norm=stage.max_grad_norm,
        optim=OPTIMIZERS[stage.optimizer],
        bf16=precision_in_use(recipe.precision) == "bf16",
        use_cpu=on_cpu(),
        seed=recipe.seed,
        data_seed=recipe.seed,
        logging_steps=recipe.log_every,
        logging_first_step=True,
        logging_nan_inf_filter=False,
        # Marks (below) say when to measure and save; the library's own counters never fire.
        eval_strategy="steps" if select_by else "no",
        eval_steps=NEVER,
        eval_on_start=bool(select_by) and recipe.validation.at_start and stage is recipe.stages[0],
        save_strategy="steps",
        save_steps=NEVER,
        save_total_limit=2,
        load_best_model_at_end=select_by is not None,
        metric_for_best_model=select_by,
        greater_is_better=True if select_by else None,
        dataloader_drop_last=True,
        dataloader_pin_memory=not on_cpu(),
        disable_tqdm=True,
        report_to=[],
    )


def need_a_batch_each(pairs: int, batch_size: int, processes: int) -> None:
    """Make sure that every process has a batch.

    Raises:
        StageError: an epoch would have no step.
    """
    if pairs // batch_size < processes:
        raise StageError(
            f"{pairs:,} pairs are too few for {processes} processes with batches of {batch_size}",
            "Use fewer processes or a smaller batch_size",
        )


class SkillTrainer(SentenceTransformerTrainer):  # type: ignore[misc]
    """The library's trainer over StageExamples.

    Batches are those of EpochBatches; a loss that is no number stops the run; log entries carry `seconds`,
    `train_seconds` and `energy_kwh` since the stage began, interruptions included.
    """

    def __init__(self, examples: StageExamples, collator: PairCollator, watts: float | None, **options: Any) -> None:
        super().__init__(train_dataset=examples, data_collator=collator, **options)
        for callback in (PrinterCallback, ProgressCallback):
            self.remove_callback(callback)
        self.clock = Clock(watts)
        self.add_callback(self.clock)

    def preprocess_dataset(self, dataset: Any = None, dataset_name: str | None = None) -> Any:
        """Ours are batches already."""
        return dataset

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """The stage model_card writes the card."""

    def _build_dataloader(self, dataset: Any, batch_size: int, dataset_kind: str) -> DataLoader[Any]:
        size = min(batch_size, len(dataset))
        need_a_batch_each(len(dataset), size, self.args.world_size)
        batches = EpochBatches(len(dataset), size, self.args.seed, drop_last=True)
        self.add_callback(EpochSetter(batches))
        return DataLoader(
            dataset,
            batch_sampler=batches,
            collate_fn=self.data_collator,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
        )

    def compute_loss(self, model: nn.Module, inputs: dict[str, Any], *rest: Any, **options: Any) -> Any:
        """The loss of a batch.

        Raises:
            StageError: it is no number.
        """
        loss = super().compute_loss(model, inputs, *rest, **options)
        value = loss[0] if isinstance(loss, tuple) else loss
        if not bool(torch.isfinite(value)):
            raise StageError(
                f"the loss became {value.item()} at step {self.state.global_step + 1}",
                "Lower learning_rate or scale, or use precision: fp32, and give another --out",
            )
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log, with time and energy since the stage began."""
        super().log({**logs, **self.clock.read()}, start_time)
