"""How a run fails: one line, exit code 2, checkpoints kept."""

import json
from pathlib import Path

import pytest
import torch

from dataset_builder.contract import StageError, run_command
from tests.tiny_runs import RECIPE, STAGE, command, write_place
from training import train
from training.base_model import open_encoder
from training.static_model import distil
from training.trainer import need_a_batch_each


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_place(tmp_path_factory.mktemp("errors"))


@pytest.fixture(scope="module")
def static(place: Path) -> Path:
    """A table distilled from the tiny encoder."""
    distil(open_encoder(place / "encoder"), 16).save_pretrained(str(place / "table"))
    return place / "table"


def failing(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must end with exit code 2; return its one line."""
    assert run_command(train.main, arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


def test_errors_are_one_line(place: Path, capsys: pytest.CaptureFixture[str]):
    wanting = {**RECIPE, "stages": [{**STAGE, "sources": {"skillskape": {}}}]}
    assert "asks for the source 'skillskape'. Give --skillskape" in failing(command(place, "e1", wanting), capsys)
    for changes, what in (
        ({"loss": {"name": "masked_mnrl", "mask": ["linked"]}}, "the mask 'linked'"),
        ({"negatives": {"kind": "hierarchy", "count": 1}}, "negatives from the hierarchy"),
        ({"sources": {"skill_lists": {}}}, "the source 'skill_lists'"),
    ):
        line = failing(command(place, "e0", {**RECIPE, "stages": [{**STAGE, **changes}]}), capsys)
        assert f"asks for {what}. Give --esco with the zips of classification and relations" in line
    assert "unknown key 'sed'" in failing(command(place, "e2", {**RECIPE, "sed": 1}), capsys)
    away = command(place, "e3", RECIPE)
    away[away.index("--base-model") + 1] = str(place / "benchmarks")
    assert "holds no *.safetensors file" in failing(away, capsys)
    assert "--max-steps must be at least 1" in failing(command(place, "e4", RECIPE, "--max-steps", "0"), capsys)
    (place / "bad.csv").write_text("text,skill\na,b\n")
    bad = command(place, "e5", RECIPE)
    bad[bad.index("--dataset") + 1] = str(place / "bad.csv")
    assert "has no column 'sentence'" in failing(bad, capsys)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loss": {"name": "masked_mnrl", "mask": ["linked"]}}, "uses ESCO's hierarchy or related skills"),
        ({"negatives": {"kind": "hierarchy", "count": 1}}, "uses ESCO's hierarchy or related skills"),
        ({"sources": {"skill_lists": {}}}, "'skill_lists' needs the skills of occupations"),
    ],
)
def test_an_esco_without_relations_is_told_from_one_with(place: Path, tmp_path: Path, capsys, changes, words):
    """ESCO's relations are a download of their own; without it, masks and lists would silently do nothing."""
    rows = ("urn:1,bake bread,,Make bread.,skill/competence", "urn:2,weld steel,,Join metal.,skill/competence")
    columns = "conceptUri,preferredLabel,altLabels,description,skillType"
    (tmp_path / "skills_en.csv").write_text("\n".join([columns, *rows]) + "\n")
    recipe = {**RECIPE, "stages": [{**STAGE, **changes}]}
    line = failing(command(place, "e9", recipe, "--esco", str(tmp_path)), capsys)
    assert words in line
    assert "these files hold none. Give --esco the zips of classification and relations" in line


def test_a_base_model_that_cannot_be_opened(place: Path, capsys: pytest.CaptureFixture[str]):
    broken = place / "broken"
    broken.mkdir()
    (broken / "model.safetensors").write_bytes(b"nothing")
    arguments = command(place, "e6", RECIPE)
    arguments[arguments.index("--base-model") + 1] = str(broken)
    assert "cannot be opened" in failing(arguments, capsys)


def test_a_loss_that_is_no_number_stops_the_run(place: Path, capsys: pytest.CaptureFixture[str]):
    """A learning rate of 1e30 makes weights and then the loss overflow; the checkpoints stay.

    Another learning rate does not go on with them, but in a folder of its own.
    """
    recipe = {**RECIPE, "stages": [{**STAGE, "learning_rate": 1e30, "warmup": 0.0, "max_grad_norm": 0.0}]}
    line = failing(command(place, "e7", recipe), capsys)
    assert "the loss became nan at step" in line
    assert "precision: fp32, and give another --out" in line
    assert (place / "e7" / "checkpoints").is_dir()
    assert not (place / "e7" / "training_record.json").exists()
    lower = {**RECIPE, "stages": [{**STAGE, "max_steps": 1}]}
    assert "was begun with another recipe" in failing(command(place, "e7", lower), capsys)
    train.main(command(place, "e7-lower", lower))


def test_a_benchmark_that_is_none_begins_no_run(place: Path, capsys: pytest.CaptureFixture[str]):
    """The recipe with the name put right would be refused as another."""
    short = {**RECIPE, "stages": [{**STAGE, "max_steps": 1}]}
    given = ("--validation", str(place / "benchmarks"))
    line = failing(command(place, "e11", {**short, "validation": {"metric": "TINY"}}, *given), capsys)
    assert "validation metric 'TINY' is no benchmark. Known: mean, tiny" in line
    several = command(place, "e11", {**short, "validation": {"metric": "TINY"}}, *given, "--seeds", "1", "2")
    assert "is no benchmark" in failing(several, capsys)
    assert not (place / "e11" / "checkpoints" / "run.json").exists()
    train.main(command(place, "e11", {**short, "validation": {"metric": "tiny"}}, *given))


def test_values_that_cannot_be_are_one_line(place: Path, capsys: pytest.CaptureFixture[str]):
    assert "seed must be from 0 to 4294967295, got -1" in failing(command(place, "e12", RECIPE, "--seed", "-1"), capsys)
    assert "got -2" in failing(command(place, "e12", RECIPE, "--seeds", "1", "-2"), capsys)
    for watts in ("-1", "nan"):
        line = failing(command(place, "e12", RECIPE, "--watts", watts), capsys)
        assert "--watts must be a number from 0 on, got" in line
    loss = {"name": "masked_mnrl", "matryoshka": [32, 999]}
    line = failing(command(place, "e13", {**RECIPE, "stages": [{**STAGE, "loss": loss}]}), capsys)
    assert "matryoshka sizes [999] are more than the encoder's 32 dimensions" in line


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_cannot_be_is_told_before_the_others_are_trained(place: Path, capsys, seed: int):
    line = failing(command(place, "e14", RECIPE, "--seeds", "1", "2", str(seed)), capsys)
    assert f"seed must be from 0 to 4294967295, got {seed}" in line
    assert not (place / "e14").exists()


@pytest.mark.parametrize(
    ("loss", "setting"),
    [
        ({"name": "mnrl", "mini_batch": 4}, "loss.mini_batch"),
        ({"name": "masked_mnrl", "mini_batch": 4}, "loss.mini_batch"),
        ({"name": "token_and_cosine"}, "the loss token_and_cosine"),
    ],
)
def test_a_static_model_has_no_tokens_to_match_and_no_mini_batches(place: Path, capsys, static, loss: dict, setting):
    given = command(place, "e15", {**RECIPE, "stages": [{**STAGE, "loss": loss}]})
    given[given.index("--base-model") + 1] = str(static)
    line = failing(given, capsys)
    assert f"{setting} needs a base model with a transformer, and table is static. Use the loss masked_mnrl" in line
    assert not (place / "e15").exists()


def test_out_of_memory_of_a_static_model_is_told_without_mini_batches(place: Path, capsys, static, monkeypatch):
    def refuse(*_):
        raise MemoryError

    monkeypatch.setattr("training.losses.ranking_loss", refuse)
    given = command(place, "e16", RECIPE)
    given[given.index("--base-model") + 1] = str(static)
    assert "tokens. Set a smaller batch_size, and give another --out" in failing(given, capsys)


@pytest.mark.parametrize(
    ("loss", "advice"),
    [
        ({"name": "masked_mnrl"}, "Set loss.mini_batch: 2 (same result, less memory) or a smaller batch_size"),
        ({"name": "masked_mnrl", "mini_batch": 8}, "Set loss.mini_batch: 2"),
        ({"name": "token_match"}, "tokens. Set a smaller batch_size"),
        ({"name": "token_and_cosine"}, "tokens. Set a smaller batch_size"),
    ],
)
def test_out_of_memory_is_told(place: Path, capsys, monkeypatch: pytest.MonkeyPatch, loss: dict, advice: str):
    """What is advised can be done: the losses by tokens refuse a mini_batch."""

    def refuse(*_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes")

    monkeypatch.setattr("training.losses.ranking_loss", refuse)
    recipe = {**RECIPE, "stages": [{**STAGE, "loss": loss}]}
    line = failing(command(place, f"e8-{loss['name']}-{len(loss)}", recipe), capsys)
    assert "out of memory with 8 pairs a batch and 64 tokens. Set " in line
    assert line.endswith("a smaller batch_size, and give another --out")
    assert advice in line


@pytest.mark.parametrize(
    ("where", "changes", "more"),
    [
        ("sentence_transformers.SentenceTransformer", {}, []),
        ("training.stages.make_loss", {}, []),
        ("training.stages._stock_embeddings", {"loss": {"name": "masked_mnrl", "mask": ["near"]}}, []),
        ("training.round_trip.embed_texts", {"sources": {"synthetic": {"round_trip": 3}}}, []),
        ("training.averaging.run_prepared", {}, ["--seeds", "1", "2"]),
    ],
    ids=["opening", "building the trainer", "stock embeddings", "round trip", "several seeds"],
)
def test_out_of_memory_beside_training_is_one_line_too(
    place: Path, capsys, monkeypatch: pytest.MonkeyPatch, request, where: str, changes: dict, more: list[str]
):
    def refuse(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(where, refuse)
    out = "memory-" + request.node.callspec.id.replace(" ", "-")
    line = failing(command(place, out, {**RECIPE, "stages": [{**STAGE, **changes}]}, *more), capsys)
    assert "out of memory beside the training steps" in line


def test_other_errors_of_torch_are_not_out_of_memory(place: Path, monkeypatch: pytest.MonkeyPatch):
    """A fault of ours must not be told as a lack of memory: it stays a traceback."""

    def refuse(*_, **__):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr("training.stages.make_loss", refuse)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        train.main(command(place, "fault", RECIPE))


def test_a_run_is_not_gone_on_with_by_another_number_of_processes(place: Path, capsys, monkeypatch):
    """Its steps would count other numbers of pairs: a run of twice the processes would end half way."""
    recipe = {**RECIPE, "stages": [{**STAGE, "learning_rate": 1e30, "warmup": 0.0, "max_grad_norm": 0.0}]}
    failing(command(place, "e10", recipe), capsys)
    begun = place / "e10" / "checkpoints" / "run.json"
    values = json.loads(begun.read_text())
    assert (values["processes"], values["precision"]) == (1, "fp32")
    begun.write_text(json.dumps({**values, "processes": 2}))
    assert "was begun with another recipe or other inputs (processes)" in failing(command(place, "e10", recipe), capsys)


def test_too_few_pairs_for_the_processes(place: Path):
    """Twelve pairs are one batch of eight; two processes would have none each, and would save the base model."""
    train.main(command(place, "few", {**RECIPE, "stages": [{**STAGE, "pairs_limit": 12, "max_steps": 1}]}))
    with pytest.raises(StageError, match="12 pairs are too few for 2 processes with batches of 8"):
        need_a_batch_each(12, 8, 2)


def test_checkpoints_of_another_run_are_not_taken_up(place: Path):
    begun = place / "begun" / "checkpoints"
    begun.mkdir(parents=True)
    (begun / "run.json").write_text(json.dumps({"recipe": {"name": "other"}}))
    with pytest.raises(StageError, match="was begun with another recipe or other inputs"):
        train.main(command(place, "begun", RECIPE))
