"""Whole runs of a tiny encoder: what a run leaves, and that it can be repeated and resumed."""

import json
import multiprocessing
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from sentence_transformers import SentenceTransformer

from dataset_builder.contract import StageError, sha256_of_file
from tests.tiny_runs import RECIPE, STAGE, command, equal, write_place
from training import train
from training.losses import MaskedRankingLoss
from training.prepare import RunOptions, prepare
from training.recipe import comparable, recipe_from_dict
from training.run_record import TrainingRecord
from training.stages import StageOutcome
from training.static_model import distil
from training.validation import SkillRanking

REPO = Path(__file__).resolve().parent.parent
ESCO = REPO / "dataset_builder" / "sample_esco"
# Processes that are killed; what imports the libraries, which takes seconds, is forked for each.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["training.averaging", "training.prepare", "training.run"])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_place(tmp_path_factory.mktemp("train"))


@pytest.fixture(scope="module")
def trained(place: Path) -> Path:
    """A finished run with validation."""
    train.main(command(place, "trained", RECIPE, "--validation", str(place / "benchmarks"), "--watts", "10"))
    return place / "trained"


def test_a_run_leaves_a_model_and_its_record(trained: Path):
    """96 pairs in batches of 8 for 2 epochs are 24 steps."""
    record = TrainingRecord.load(trained)
    assert record.weights_sha256 == sha256_of_file(trained / "model.safetensors")
    assert (record.steps, record.epochs, record.recipe_name, record.seed) == (24, 2.0, "tiny", 3)
    assert [(source.name, source.pairs, source.skills) for source in record.sources] == [("synthetic", 96, 24)]
    assert record.dataset.id == "dataset.csv"
    assert record.base_model.weights_sha256 == sha256_of_file(trained.parent / "encoder" / "model.safetensors")
    assert (record.name, record.version) == ("trained", "unknown")
    assert "--recipe" in record.command
    if record.energy_method.startswith("10 W"):  # a machine with counters uses them
        assert record.energy_kwh == pytest.approx(10 * record.duration_s / 3.6e6, rel=0.2)
    assert record.pairs_per_s > 0
    assert record.hardware.peak_memory_bytes > 10**7
    assert not (trained / "checkpoints").exists()


def test_the_loss_falls_and_validation_is_measured(trained: Path):
    record = TrainingRecord.load(trained)
    assert [point.step for point in record.losses] == list(range(1, 25))
    losses = [point.loss for point in record.losses]
    assert sum(losses[-4:]) < 0.7 * sum(losses[:4])
    assert [point.step for point in record.validation] == [12, 24]
    assert set(record.validation[0].metrics) == {"rp@5_tiny", "rp@5_mean"}
    best = max(record.validation, key=lambda point: point.metrics["rp@5_mean"])
    assert record.best_step in {
        point.step for point in record.validation if point.metrics["rp@5_mean"] == best.metrics["rp@5_mean"]
    }


def test_the_best_checkpoint_by_validation_is_kept(place: Path, monkeypatch: pytest.MonkeyPatch):
    """Measured at steps 6, 12, 18 and 24, best at 12: the model is that checkpoint, not what training ended with."""
    values = iter([0.2, 0.9, 0.5, 0.1])
    monkeypatch.setattr(SkillRanking, "__call__", lambda *_, **__: {"rp@5_mean": next(values)})
    recipe = {**RECIPE, "validation": {"times_per_epoch": 2}}
    train.main(command(place, "best", recipe, "--validation", str(place / "benchmarks"), "--keep-checkpoints"))
    record = TrainingRecord.load(place / "best")
    measured = [(point.step, point.metrics["rp@5_mean"]) for point in record.validation]
    assert measured == [(6, 0.2), (12, 0.9), (18, 0.5), (24, 0.1)]
    assert record.best_step == 12
    checkpoints = place / "best" / "checkpoints" / "1-sentences"
    assert equal(place / "best", checkpoints / "checkpoint-12")
    assert not equal(place / "best", checkpoints / "checkpoint-24")


def test_the_library_opens_the_folder(trained: Path):
    encoder = SentenceTransformer(str(trained))
    assert encoder.encode(["bake bread"]).shape == (1, 32)
    assert encoder.max_seq_length == SentenceTransformer(str(trained.parent / "encoder")).max_seq_length


def test_what_is_trained_on_holds_no_benchmark_sentence(place: Path):
    """The dataset holds a test and a validation sentence in other spelling; both are gone, the rest stays."""
    leaking = place / "leaking.csv"
    rows = ["sail  SHIPS at dawn!,sail ships", "* weld our steel,weld steel", "We carve wood.,carve wood"]
    leaking.write_text("\n".join(["sentence,skill", *rows]))
    options = RunOptions(str(leaking), str(place / "encoder"), place / "none", validation=str(place / "benchmarks"))
    (pairs,) = prepare(recipe_from_dict(RECIPE), options).pairs
    assert [pair.text for pair in pairs.pairs] == ["We carve wood."]
    assert pairs.left_out == {"benchmark sentence": 2}


def test_tensorboard_files_are_written(trained: Path):
    assert list((trained / "tensorboard" / "sentences").glob("events.*"))


def test_the_same_command_again_does_nothing(trained: Path, place: Path, capsys: pytest.CaptureFixture[str]):
    before = (trained / "training_record.json").stat().st_mtime_ns
    train.main(command(place, "trained", RECIPE, "--validation", str(place / "benchmarks"), "--watts", "10"))
    assert "nothing to do" in capsys.readouterr().out
    assert (trained / "training_record.json").stat().st_mtime_ns == before


def test_a_record_from_before_a_recipe_could_say_more_is_still_its_own(trained: Path, place: Path):
    """What the record does not say has its default; another value than the default is another recipe."""
    old = shutil.copytree(trained, place / "old")
    record = json.loads((old / TrainingRecord.FILE_NAME).read_text(encoding="utf-8"))
    del record["recipe"]["stages"][0]["loss"]["label_memory"]
    (old / TrainingRecord.FILE_NAME).write_text(json.dumps(record), encoding="utf-8")
    train.main(command(place, "old", RECIPE, "--validation", str(place / "benchmarks"), "--watts", "10"))
    changed = {**RECIPE, "stages": [{**STAGE, "loss": {"name": "masked_mnrl", "label_memory": 3}}]}
    with pytest.raises(StageError, match="holds a model of another recipe"):
        train.main(command(place, "old", changed))


def test_a_mask_that_masked_nothing_makes_no_other_recipe():
    """The library's loss has none: records from before paper.yaml said so are of the same run; ours with one is not."""

    def whole(loss: dict, **more: object) -> dict:
        return comparable({**RECIPE, "stages": [{**STAGE, "loss": loss, **more}]})

    assert whole({"name": "mnrl"}) == whole({"name": "mnrl", "mask": []})
    assert whole({"name": "masked_mnrl"}) != whole({"name": "masked_mnrl", "mask": []})
    negatives = {"kind": "mined", "count": 1}
    assert whole({"name": "mnrl"}, negatives=negatives) != whole({"name": "mnrl", "mask": []}, negatives=negatives)


def test_another_recipe_does_not_overwrite(trained: Path, place: Path):
    with pytest.raises(StageError, match="holds a model of another recipe or other inputs"):
        train.main(command(place, "trained", {**RECIPE, "seed": 4}))
    # The same recipe, but nothing to choose the checkpoint on.
    with pytest.raises(StageError, match="holds a model of another recipe or other inputs"):
        train.main(command(place, "trained", RECIPE))


def test_same_seed_same_weights_other_seed_others(place: Path):
    short = {**RECIPE, "stages": [{**STAGE, "max_steps": 5}]}
    for out, seed in (("one", 1), ("two", 1), ("three", 2)):
        train.main(command(place, out, short, "--seed", str(seed)))
    assert equal(place / "one", place / "two")
    assert not equal(place / "one", place / "three")


@pytest.mark.parametrize(("label_memory", "best_step"), [(0, 12), (4, 60)])
def test_killed_in_the_second_epoch_it_ends_the_same(place: Path, label_memory: int, best_step: int):
    """12 steps an epoch, a checkpoint every 6: killed after that of step 18, in the second epoch of five.

    A memory of labels that lasts 4 steps is in the middle of its life there. Where validation chooses, its sentence is
    a label, which every encoder finds: no measurement beats the first, of step 12, whose checkpoint outlives the kill.
    """
    (place / "easy.csv").write_text("sentence,label\nbake bread,bake bread\n", encoding="utf-8")
    validation = ["--validation", str(place / "easy.csv"), "--keep-checkpoints"] if best_step < 60 else []
    stage = {**STAGE, "epochs": 5, "loss": {"name": "masked_mnrl", "label_memory": label_memory}}
    recipe = {**RECIPE, "checkpoints_per_epoch": 2, "stages": [stage]}
    whole, broken = place / f"undisturbed-{label_memory}", place / f"killed-{label_memory}"
    train.main(command(place, whole.name, recipe, *validation))
    killed = command(place, broken.name, recipe, *validation)
    run_until(killed, broken / "checkpoints" / "1-sentences" / "checkpoint-18" / "trainer_state.json")
    assert not (broken / "training_record.json").exists()
    # A checkpoint that was cut short: without its last file, trainer_state.json, it does not count.
    cut = broken / "checkpoints" / "1-sentences" / "checkpoint-99"
    cut.mkdir()
    (cut / "model.safetensors").write_bytes(b"half")
    # Another, cut in the middle of that very file.
    half = broken / "checkpoints" / "1-sentences" / "checkpoint-98"
    half.mkdir()
    (half / "trainer_state.json").write_text('{"epoch": 1.', encoding="utf-8")
    train.main(killed)
    assert equal(whole, broken)
    one, two = TrainingRecord.load(whole), TrainingRecord.load(broken)
    assert [point.loss for point in one.losses] == [point.loss for point in two.losses]
    assert one.validation == two.validation
    assert one.best_step == two.best_step == best_step
    if validation:
        assert equal(broken, broken / "checkpoints" / "1-sentences" / f"checkpoint-{best_step}")


def run_until(arguments: list[str], mark: Path) -> None:
    """Start a run in a process of its own and kill it as soon as a file is there."""
    process = FORKS.Process(target=train.main, args=(arguments,))
    process.start()
    try:
        deadline = time.monotonic() + 300
        while not mark.exists():
            assert process.is_alive(), "the run ended before it could be killed"
            assert time.monotonic() < deadline, f"{mark} never came"
            time.sleep(0.005)
    finally:
        process.kill()  # SIGKILL
        process.join()
    assert process.exitcode == -signal.SIGKILL


def test_killed_between_stages_and_in_the_second_it_ends_the_same(place: Path):
    """Definitions for 5 steps, then 125 labels in batches of 8 for 3 epochs of 15 steps, with two checkpoints an epoch.

    One run is killed twice: as soon as the first stage is done, and in the second epoch of the second stage.
    """
    first = {**STAGE, "name": "definitions", "sources": {"descriptions": {}}, "max_steps": 5}
    second = {**STAGE, "sources": {"labels": {}}, "epochs": 3}
    recipe = {**RECIPE, "checkpoints_per_epoch": 2, "stages": [first, second]}
    whole, broken = place / "undisturbed-stages", place / "killed-stages"
    train.main(command(place, whole.name, recipe, "--esco", str(ESCO)))
    killed, checkpoints = command(place, broken.name, recipe, "--esco", str(ESCO)), broken / "checkpoints"
    run_until(killed, checkpoints / "1-definitions" / "stage.json")
    assert not list((checkpoints / "2-sentences").glob("checkpoint-*"))
    run_until(killed, checkpoints / "2-sentences" / "checkpoint-23" / "trainer_state.json")
    assert not (broken / "training_record.json").exists()
    train.main(killed)
    assert equal(whole, broken)
    one, two = TrainingRecord.load(whole), TrainingRecord.load(broken)
    assert len(one.losses) == one.steps == 5 + 45
    assert [point.loss for point in one.losses] == [point.loss for point in two.losses]


def test_pairs_are_counted_by_batches(place: Path, monkeypatch: pytest.MonkeyPatch):
    """96 pairs are 12 batches of 8; in steps of 5 batches, an epoch has steps of 5, 5 and 2: two epochs see 192 pairs.

    A third of the way, after 4 of these 6 steps, it is 12 + 5 batches.
    """
    seen, loss = [], MaskedRankingLoss.forward

    def counted(self, features, labels):
        seen.append(len(labels))
        return loss(self, features, labels)

    monkeypatch.setattr(MaskedRankingLoss, "forward", counted)
    for out, steps, pairs in (("accumulated", None, 192), ("accumulated-4", 4, (12 + 5) * 8)):
        seen.clear()
        stage = {**STAGE, "gradient_accumulation": 5, "max_steps": steps}
        train.main(command(place, out, {**RECIPE, "stages": [stage]}, "--keep-checkpoints"))
        outcome = StageOutcome.load(place / out / "checkpoints" / "1-sentences")
        assert (sum(seen), outcome.pairs_seen, outcome.steps) == (pairs, pairs, steps or 6)


def test_prompts_of_the_base_model_are_left_out(place: Path, capsys: pytest.CaptureFixture[str]):
    """E5 and BGE store some; training and validation add none, so what is saved must not ask for any."""
    prompts = {"query": "query: ", "document": ""}
    base = SentenceTransformer(str(place / "encoder"), prompts=prompts, default_prompt_name="query", device="cpu")
    base.save_pretrained(str(place / "prompted"))
    given = command(place, "no-prompts", {**RECIPE, "stages": [{**STAGE, "max_steps": 2}]})
    given[given.index("--base-model") + 1] = str(place / "prompted")
    train.main([*given, "--seeds", "1", "2"])
    said = capsys.readouterr().out
    assert said.count("the base model's prompts (query) are left out") == 1
    trained = SentenceTransformer(str(place / "no-prompts"), device="cpu")
    assert (trained.prompts, trained.default_prompt_name) == ({"query": "", "document": ""}, None)
    assert np.array_equal(trained.encode_query("bake bread"), trained.encode("bake bread", prompt=""))
    assert np.array_equal(trained.encode("bake bread"), trained.encode("bake bread", prompt=""))
    # Without any, nothing is said.
    train.main(command(place, "plain-base", {**RECIPE, "stages": [{**STAGE, "max_steps": 2}]}))
    assert "prompts" not in capsys.readouterr().out


def test_stages_follow_each_other(place: Path):
    """Definitions first, then sentences; steps and losses count through: 125 skills in batches of 8 are 15 steps."""
    first = {**STAGE, "name": "definitions", "sources": {"descriptions": {}}, "epochs": 1}
    recipe = {**RECIPE, "stages": [first, {**STAGE, "max_steps": 3, "sources": {"labels": {}}}]}
    train.main(command(place, "staged", recipe, "--esco", str(ESCO)))
    record = TrainingRecord.load(place / "staged")
    assert record.steps == 18
    assert [point.step for point in record.losses] == list(range(1, 19))
    assert [source.name for source in record.sources] == ["descriptions", "labels"]
    assert len(list((place / "staged" / "tensorboard").iterdir())) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": {"name": "token_match"}},
        {
            "loss": {
                "name": "masked_mnrl",
                "mask": ["same_skill", "joined", "linked", "near"],
                "several_positives": True,
            }
        },
        {"loss": {"name": "mnrl"}, "negatives": {"kind": "mined", "count": 1, "pool": 5}},
        {"loss": {"name": "masked_mnrl", "matryoshka": [32, 8], "mini_batch": 4, "symmetric": True}},
        {"loss": {"name": "masked_mnrl"}, "negatives": {"kind": "hierarchy", "count": 2}},
        {"optimizer": "adafactor"},
        {"optimizer": "sgd"},
    ],
    ids=["token match", "masks", "library with mined negatives", "matryoshka cached", "hierarchy", "adafactor", "sgd"],
)
def test_every_loss_and_optimizer_trains(place: Path, changes: dict, request: pytest.FixtureRequest):
    recipe = {**RECIPE, "stages": [{**STAGE, "sources": {"descriptions": {}}, "max_steps": 3, **changes}]}
    out = request.node.callspec.id.replace(" ", "-")
    train.main(command(place, out, recipe, "--esco", str(ESCO)))
    assert not equal(place / "encoder", place / out)
    assert SentenceTransformer(str(place / out)).encode(["bake"]).shape == (1, 32)


def test_a_static_model_trains(place: Path):
    """The released recipe, from a table distilled from the tiny encoder, on five steps of eight pairs."""
    distil(SentenceTransformer(str(place / "encoder"), device="cpu"), 16).save_pretrained(str(place / "table"))
    recipe = yaml.safe_load((REPO / "training/recipes/static.yaml").read_text(encoding="utf-8"))
    (stage,) = recipe["stages"]
    stage.update(batch_size=8, max_steps=5, sources={"synthetic": {}})
    out, command_line = "static", command(place, "static", recipe)
    command_line[command_line.index("--base-model") + 1] = str(place / "table")
    train.main(command_line)
    before, after = (SentenceTransformer(str(place / name), device="cpu").encode(["bake"]) for name in ("table", out))
    assert after.shape == (1, 16)
    assert not np.allclose(before, after)
