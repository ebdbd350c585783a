"""The bar and the clock beside the training steps."""

import re
from pathlib import Path

import pytest
from transformers import TrainerControl, TrainerState

from training.callbacks import Bar, Clock, Marks
from training.energy import EnergyMeter


def test_the_bar_says_loss_pairs_a_second_time_left_and_validation(capsys: pytest.CaptureFixture[str]):
    """From step 2 of 12 on, 4 steps of 8 pairs in 2 seconds of training: 16 pairs a second."""
    clock = Clock()
    bar = Bar("sentences", 8, "rp@5_mean", clock)
    state = TrainerState(max_steps=12, global_step=2, is_world_process_zero=True)
    bar.on_train_begin(None, state, None)
    state.global_step, clock.train_seconds = 6, 2.0
    bar.on_step_end(None, state, None)
    bar.on_log(None, state, None, logs={"loss": 1.2345})
    bar.on_log(None, state, None, logs={"eval_rp@5_mean": 0.5678})
    bar.close()
    shown = capsys.readouterr().err.split("\r")[-1]
    assert re.match(r"sentences:  50%.* 6/12 \[\d+:\d+<\d+:\d+,", shown)
    assert "loss=1.234, pairs/s=16, validation rp@5_mean=56.78]" in shown


def test_measuring_and_saving_are_no_training(monkeypatch: pytest.MonkeyPatch):
    """Steps of 1 and 2 seconds; 100 seconds of measuring and 50 of saving between them."""
    now = [10.0]
    monkeypatch.setattr("training.callbacks.time.monotonic", lambda: now[0])
    clock, state = Clock(), TrainerState()
    clock.on_train_begin(None, state, None)
    for seconds, event in (
        (1, clock.on_step_end),
        (100, clock.on_evaluate),
        (50, clock.on_save),
        (2, clock.on_step_end),
    ):
        now[0] += seconds
        event(None, state, None)
    assert clock.train_seconds == 3.0
    assert clock.read()["seconds"] == 153.0


@pytest.mark.parametrize(("first", "second"), [(None, 1000.0), (1000.0, None), (None, None), (500.0, 1000.0)])
def test_energy_is_told_only_where_every_part_of_a_run_has_some(monkeypatch: pytest.MonkeyPatch, first, second):
    """Two parts of 36 s: at 500 W and at 1000 W that is 18,000 + 36,000 J = 0.015 kWh."""
    now = [10.0]
    monkeypatch.setattr("training.callbacks.time.monotonic", lambda: now[0])
    monkeypatch.setattr(
        "training.callbacks.EnergyMeter", lambda watts: EnergyMeter(watts, Path("/no/counter"), lambda: None)
    )
    state = TrainerState()
    for watts in (first, second):
        clock = Clock(watts)
        clock.on_train_begin(None, state, None)
        now[0] += 36
        state.log_history.append(clock.read())
    told = state.log_history[-1]
    assert told["seconds"] == 72.0
    if first and second:
        assert told["energy_kwh"] == pytest.approx(0.015)
    else:
        assert "energy_kwh" not in told


def test_what_is_saved_is_logged():
    """Of 12 steps, 6 and 12 are saved; a step that the library logs stays one."""
    marks, state = Marks(0, 2, 1), TrainerState(max_steps=12)
    marks.on_train_begin(None, state, None)
    for step, due, saved, logged in ((5, False, False, False), (6, False, True, True), (7, True, False, True)):
        state.global_step, control = step, TrainerControl(should_log=due)
        marks.on_step_end(None, state, control)
        assert (control.should_save, control.should_log) == (saved, logged)
