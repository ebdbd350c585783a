"""Several seeds of one recipe averaged into one model: what is left, repeated, gone on with and refused."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dataset_builder.contract import StageError
from tests.tiny_runs import RECIPE, STAGE, command, equal, weights, write_place
from training import train
from training.averaging import write_average
from training.base_model import open_encoder, sha256_of_weights
from training.prepare import Prepared
from training.run import run_prepared
from training.run_record import TrainingRecord

SHORT = {**RECIPE, "stages": [{**STAGE, "epochs": 1}]}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_place(tmp_path_factory.mktemp("seeds"))


@pytest.fixture(scope="module")
def averaged(place: Path) -> Path:
    """Seeds 4 and 9 by one command, their own models kept."""
    train.main([*of_seeds(place, "averaged"), "--keep-checkpoints"])
    return place / "averaged"


def of_seeds(place: Path, out: str) -> list[str]:
    return command(place, out, SHORT, "--validation", str(place / "benchmarks"), "--seeds", "4", "9")


def test_the_weights_are_the_mean_of_runs_by_themselves(place: Path, averaged: Path):
    """Seeds 4 and 9 trained by commands of their own are what is averaged, to the last bit."""
    for seed in (4, 9):
        alone = command(place, f"alone-{seed}", SHORT, "--validation", str(place / "benchmarks"), "--seed", str(seed))
        train.main(alone)
        assert equal(place / f"alone-{seed}", averaged / "checkpoints" / f"seed-{seed}")
    one, two, mean = (weights(folder) for folder in (place / "alone-4", place / "alone-9", averaged))
    assert not equal(place / "alone-4", place / "alone-9")
    assert all(torch.allclose(mean[name], (one[name] + two[name]) / 2, atol=1e-7) for name in mean)


def test_the_record_is_of_all_runs(averaged: Path):
    """12 steps a seed; the mean is measured, and what each seed reached by itself stands beside it."""
    record = TrainingRecord.load(averaged)
    runs = [TrainingRecord.load(averaged / "checkpoints" / f"seed-{seed}") for seed in (4, 9)]
    assert [(one.seed, one.steps, one.weights_sha256) for one in record.averaged] == [
        (one.seed, 12, one.weights_sha256) for one in runs
    ]
    assert (record.seed, record.steps, record.epochs, record.best_step) == (4, 24, 1.0, 24)
    assert record.duration_s == pytest.approx(sum(one.duration_s for one in runs))
    assert record.weights_sha256 == sha256_of_weights(averaged)
    assert [one.last_loss for one in record.averaged] == [one.losses[-1].loss for one in runs]
    assert all(set(one.validation) == {"rp@5_tiny", "rp@5_mean"} for one in record.averaged)
    assert [(point.step, set(point.metrics)) for point in record.validation] == [(24, {"rp@5_tiny", "rp@5_mean"})]
    assert record.name == "averaged"
    assert "--seeds 4 9" in record.command


def test_the_library_opens_it(averaged: Path):
    assert open_encoder(averaged).encode(["bake bread"]).shape == (1, 32)


def test_the_same_command_does_nothing_and_other_seeds_are_refused(
    place: Path, averaged: Path, capsys: pytest.CaptureFixture[str]
):
    train.main([*of_seeds(place, "averaged"), "--keep-checkpoints"])
    assert "holds this very model already" in capsys.readouterr().out
    for seeds in (["--seeds", "4", "8"], ["--seed", "4"]):
        with pytest.raises(StageError, match="another recipe or other inputs"):
            train.main(command(place, "averaged", SHORT, "--validation", str(place / "benchmarks"), *seeds))


def test_an_interrupted_command_goes_on_with_the_seed_it_was_at(
    place: Path, averaged: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """The second seed fails; the first is not trained again, one run alone may not take the folder, all ends alike."""

    def fail(prepared: Prepared) -> TrainingRecord | None:
        if prepared.recipe.seed == 9:
            raise StageError("no place left")
        return run_prepared(prepared)

    monkeypatch.setattr("training.averaging.run_prepared", fail)
    with pytest.raises(StageError, match="no place left"):
        train.main(of_seeds(place, "broken"))
    monkeypatch.undo()
    assert not (place / "broken" / "training_record.json").exists()
    with pytest.raises(StageError, match=r"begun with another recipe or other inputs \(seeds\)"):
        train.main(command(place, "broken", SHORT, "--validation", str(place / "benchmarks"), "--seed", "4"))
    capsys.readouterr()
    train.main(of_seeds(place, "broken"))
    told = capsys.readouterr().out
    assert "seed-4 holds this very model already" in told
    assert "seed-9 holds" not in told
    assert equal(place / "broken", averaged)
    assert not (place / "broken" / "checkpoints").exists()
    assert sorted(one.name for one in (place / "broken" / "tensorboard").iterdir()) == ["seed-4", "seed-9"]


def test_an_average_that_was_not_measured_goes_on_where_checkpoints_are_kept(
    place: Path, averaged: Path, monkeypatch: pytest.MonkeyPatch
):
    """Each run keeps checkpoints of its own: none of them may take the place of what the folder is becoming."""

    def fail(prepared: Prepared) -> None:
        raise StageError("no measuring today")

    monkeypatch.setattr("training.averaging._measurer", fail)
    with pytest.raises(StageError, match="no measuring today"):
        train.main([*of_seeds(place, "unmeasured"), "--keep-checkpoints"])
    monkeypatch.undo()
    train.main([*of_seeds(place, "unmeasured"), "--keep-checkpoints"])
    assert equal(place / "unmeasured", averaged)
    left = sorted(one.name for one in (place / "unmeasured" / "checkpoints").iterdir())
    assert [name for name in left if name[0].isdigit()] == []
    assert {"run.json", "seed-4", "seed-9"} <= set(left)


def test_other_words_in_the_description_make_no_other_recipe(
    place: Path, averaged: Path, capsys: pytest.CaptureFixture[str]
):
    described = {**SHORT, "description": "the same in other words"}
    train.main(command(place, "averaged", described, "--validation", str(place / "benchmarks"), "--seeds", "4", "9"))
    assert "nothing to do" in capsys.readouterr().out


def test_weights_of_another_shape_are_refused(place: Path, tmp_path: Path):
    (tmp_path / "narrower").mkdir()
    cut = {name: tensor[..., :-1].contiguous() for name, tensor in weights(place / "encoder").items()}
    save_file(cut, tmp_path / "narrower" / "model.safetensors")
    with pytest.raises(StageError, match="narrower holds other weights than"):
        write_average([place / "encoder", tmp_path / "narrower"], tmp_path / "out")


@pytest.mark.parametrize("seeds", [["4"], ["4", "4"]], ids=["one", "twice the same"])
def test_seeds_that_make_no_mean_are_refused(place: Path, seeds: list[str]):
    with pytest.raises(StageError, match="two or more different seeds"):
        train.main(command(place, "none", SHORT, "--seeds", *seeds))
