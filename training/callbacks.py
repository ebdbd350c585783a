"""What happens beside the training steps: the epoch for the batches, time and energy, marks, the bar."""

from __future__ import annotations

import math
import sys
import time
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback

from training.batches import EpochBatches
from training.energy import EnergyMeter
from training.label_memory import LabelMemory

ENERGY_EVERY_S = 30.0


class EpochSetter(TrainerCallback):  # type: ignore[misc]
    """Tells the batches their epoch: accelerate's wrappers do not always pass it on when a run resumes."""

    def __init__(self, batches: EpochBatches) -> None:
        self.batches = batches

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Called before the epoch's first batch is drawn."""
        self.batches.set_epoch(int((state.epoch or 0.0) + 1e-6))


class Clock(TrainerCallback):  # type: ignore[misc]
    """Seconds of the stage, of its training steps alone, and its energy; a resume goes on counting."""

    def __init__(self, watts: float | None = None) -> None:
        self.watts = watts
        self.meter = EnergyMeter(watts)
        self.started = self.mark = time.monotonic()
        self.train_seconds = 0.0
        self.before = {"seconds": 0.0, "train_seconds": 0.0}
        self.energy_before: float | None = 0.0
        self._energy_read_at = self.started

    def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Take up the counts of the checkpoint that the run resumed from."""
        self.started = self.mark = time.monotonic()
        self.meter = EnergyMeter(self.watts)
        for entry in reversed(state.log_history):
            if "train_seconds" in entry:
                self.before = {name: entry.get(name) or 0.0 for name in self.before}
                self.energy_before = entry.get("energy_kwh")
                break

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Count a step."""
        now = time.monotonic()
        self.train_seconds += now - self.mark
        self.mark = now
        if now - self._energy_read_at > ENERGY_EVERY_S:
            self.meter.read()
            self._energy_read_at = now

    def on_evaluate(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Measuring is no training."""
        self.mark = time.monotonic()

    on_save = on_epoch_begin = on_evaluate

    def read(self) -> dict[str, float]:
        """What goes into a log entry; no energy where a part of the run could not measure it."""
        energy = self.meter.read(self.energy_before or 0.0).kwh
        counts = {
            "seconds": self.before["seconds"] + time.monotonic() - self.started,
            "train_seconds": self.before["train_seconds"] + self.train_seconds,
        }
        return counts if energy is None or self.energy_before is None else {**counts, "energy_kwh": energy}


class MemoryRefresher(TrainerCallback):  # type: ignore[misc]
    """Has the label memory made anew after a checkpoint, as a run that resumes from it must."""

    def __init__(self, memory: LabelMemory) -> None:
        self.memory = memory

    def on_save(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """A checkpoint was written."""
        self.memory.forget()


class Marks(TrainerCallback):  # type: ignore[misc]
    """Says at which steps to measure and at which to save; a measured step is always saved, to keep the best one.

    A saved step is logged as well: a run that resumes from it goes on with the log's counts of time and energy.

    Args:
        per_epoch: measurements an epoch; 0 for none.
        saves_per_epoch: checkpoints an epoch.
        epochs: epochs of the stage.
    """

    def __init__(self, per_epoch: int, saves_per_epoch: int, epochs: int) -> None:
        self.per_epoch = per_epoch
        self.saves_per_epoch = saves_per_epoch
        self.epochs = epochs
        self.measured: set[int] = set()
        self.saved: set[int] = set()

    def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Lay the marks once the number of steps is known."""
        self.measured = marks(state.max_steps, self.per_epoch * self.epochs)
        self.saved = self.measured | marks(state.max_steps, self.saves_per_epoch * self.epochs)

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Ask for what is due."""
        control.should_evaluate = state.global_step in self.measured
        control.should_save = state.global_step in self.saved
        control.should_log = control.should_log or control.should_save


def marks(steps: int, count: int) -> set[int]:
    """`count` steps, evenly spread, the last one among them; all steps where there are fewer."""
    count = min(count, steps)
    return {math.ceil(steps * (number + 1) / count) for number in range(count)}


class Bar(TrainerCallback):  # type: ignore[misc]
    """One bar a stage on stderr: steps, time left, loss, pairs a second of training and the newest validation value."""

    def __init__(self, title: str, pairs_per_step: int, metric: str | None, clock: Clock) -> None:
        self.title = title
        self.pairs_per_step = pairs_per_step
        self.metric = f"eval_{metric}" if metric else None
        self.clock = clock
        self.bar: tqdm[Any] | None = None
        self.shown: dict[str, str] = {}
        self.first_step = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Open the bar where the run stands."""
        pause = 0.5 if sys.stderr.isatty() else 10.0
        quiet = not state.is_world_process_zero
        self.first_step = state.global_step
        self.bar = tqdm(
            total=state.max_steps, initial=state.global_step, desc=self.title, mininterval=pause, disable=quiet
        )

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Move on by a step."""
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **rest: Any) -> None:
        """Show what was logged."""
        if self.bar is None or not logs:
            return
        if "loss" in logs:
            self.shown["loss"] = f"{logs['loss']:.3f}"
            done = (state.global_step - self.first_step) * self.pairs_per_step
            self.shown["pairs/s"] = f"{done / max(self.clock.train_seconds, 1e-9):.0f}"
        if self.metric and self.metric in logs:
            self.shown["validation " + self.metric.removeprefix("eval_")] = f"{100 * logs[self.metric]:.2f}"
        self.bar.set_postfix(self.shown, refresh=False)

    def close(self) -> None:
        """Leave the bar on the screen as it is and end its line, so that an error does not stand behind it."""
        if self.bar is not None:
            self.bar.close()
