"""What a run that was interrupted tells of itself, and how far a trial goes."""

import time
from pathlib import Path

import pytest

from tests.tiny_runs import RECIPE, STAGE, command, write_place
from training import train
from training.run_record import TrainingRecord
from training.trainer import SkillTrainer


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_place(tmp_path_factory.mktemp("interrupted"))


def stop_at(step: int, monkeypatch: pytest.MonkeyPatch, seconds: float = 0.0) -> None:
    """Have a run interrupted before a step; each step until then takes so many seconds more."""
    whole = SkillTrainer.training_step

    def training_step(self, *inputs):
        if self.state.global_step == step:
            raise KeyboardInterrupt
        time.sleep(seconds)
        return whole(self, *inputs)

    monkeypatch.setattr(SkillTrainer, "training_step", training_step)


def test_the_base_model_is_measured_once(place: Path, monkeypatch: pytest.MonkeyPatch):
    """12 steps an epoch, two measurements each: interrupted after step 20 it goes on from 18."""
    recipe = {**RECIPE, "validation": {"times_per_epoch": 2, "at_start": True}}
    given = command(place, "measured", recipe, "--validation", str(place / "benchmarks"))
    stop_at(20, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train.main(given)
    monkeypatch.undo()
    train.main(given)
    record = TrainingRecord.load(place / "measured")
    assert [point.step for point in record.validation] == [0, 6, 12, 18, 24]


def test_the_time_up_to_a_checkpoint_counts(place: Path, monkeypatch: pytest.MonkeyPatch):
    """18 steps of 0.05 s and more before the last checkpoint; log entries are the first step's and the checkpoints'."""
    recipe = {**RECIPE, "checkpoints_per_epoch": 2, "log_every": 1000}
    stop_at(20, monkeypatch, seconds=0.05)
    with pytest.raises(KeyboardInterrupt):
        train.main(command(place, "timed", recipe))
    monkeypatch.undo()
    train.main(command(place, "timed", recipe, "--watts", "1000"))
    record = TrainingRecord.load(place / "timed")
    assert record.duration_s > 18 * 0.05
    assert record.pairs_per_s < 24 * 8 / (18 * 0.05)
    assert [point.step for point in record.losses] == [1, 6, 12, 18, 24]
    # The first part had no power by hand; a machine with counters needs none.
    assert (record.energy_kwh is None) == record.energy_method.startswith("not measured: a part of the run had no")


@pytest.mark.parametrize(("most", "steps", "kept"), [(100, 6, None), (6, 6, None), (5, 5, 5)])
def test_max_steps_makes_no_stage_longer(place: Path, most: int, steps: int, kept: int | None):
    """12 batches of 8 in steps of 5 batches: an epoch is 3 steps, two are 6. A stage of as many stays as it is."""
    recipe = {**RECIPE, "stages": [{**STAGE, "gradient_accumulation": 5}]}
    train.main(command(place, f"most-{most}", recipe, "--max-steps", str(most)))
    record = TrainingRecord.load(place / f"most-{most}")
    assert (record.steps, record.recipe["stages"][0]["max_steps"]) == (steps, kept)


def test_max_steps_leaves_a_recipe_s_own_bound(place: Path):
    recipe = {**RECIPE, "stages": [{**STAGE, "max_steps": 2}]}
    train.main(command(place, "own", recipe, "--max-steps", "4"))
    assert TrainingRecord.load(place / "own").steps == 2
