"""The record of a run leads back to the files of its sentences, and to the teacher of its pseudo-labels."""

import json
from pathlib import Path

import pytest

from dataset_builder.contract import sha256_of_file
from tests.tiny_runs import RECIPE, STAGE, command, write_place
from training import train
from training.run_record import TrainingRecord
from training.source_files import hashes_of, teacher_of

REPO = Path(__file__).resolve().parent.parent
TEACHER = {"id": "first", "revision": None, "weights_sha256": "0123"}


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    path = tmp_path / "pseudo.csv"
    path.write_text("sentence,skills\nWe bake.,['bake bread']\nWe weld.,['weld steel']\n", encoding="utf-8")
    return path


def test_files_are_hashed_and_hub_ids_are_not(labelled: Path):
    hashes = hashes_of({"pseudo_labels": str(labelled), "skillskape": "NAMESPACE/skillskape"})
    assert hashes == {"pseudo_labels": sha256_of_file(labelled)}


@pytest.mark.parametrize("about", [None, "no json", "[]", "{}", '{"teacher": {"id": "first"}}'])
def test_no_file_beside_the_labels_that_tells_of_a_teacher(labelled: Path, about: str | None):
    if about is not None:
        labelled.with_suffix(".json").write_text(about, encoding="utf-8")
    assert teacher_of(labelled) is None


def test_a_teacher_is_told_of_the_file_that_it_labelled(labelled: Path):
    """With the hash of another file it is of what stood there before; files from before it was kept say none."""
    beside = labelled.with_suffix(".json")
    for more in ({}, {"sha256": sha256_of_file(labelled)}):
        beside.write_text(json.dumps({"teacher": TEACHER, **more}), encoding="utf-8")
        found = teacher_of(labelled)
        assert found is not None
        assert found.model_dump() == TEACHER
    beside.write_text(json.dumps({"teacher": TEACHER, "sha256": "of another"}), encoding="utf-8")
    assert teacher_of(labelled) is None


def test_the_record_says_so_and_a_record_without_it_is_of_the_same_run(labelled: Path, capsys: pytest.CaptureFixture):
    """Of the files given only what the recipe asks for is told; what a record of before lacks makes no other run."""
    place = write_place(labelled.parent / "place")
    labelled.with_suffix(".json").write_text(json.dumps({"teacher": TEACHER}), encoding="utf-8")
    stage = {**STAGE, "epochs": 1, "max_steps": 1, "sources": {"synthetic": {}, "pseudo_labels": {}}}
    flags = ["--pseudo-labels", str(labelled), "--skillskape", str(labelled)]
    arguments = command(place, "out", {**RECIPE, "stages": [stage]}, *flags)
    train.main(arguments)
    path = place / "out" / "training_record.json"
    record = TrainingRecord.load(path)
    assert record.sources_sha256 == {"pseudo_labels": sha256_of_file(labelled)}
    assert record.teacher is not None
    assert record.teacher.id == "first"
    values = json.loads(path.read_text(encoding="utf-8"))
    del values["sources_sha256"], values["teacher"]
    path.write_text(json.dumps(values), encoding="utf-8")
    capsys.readouterr()
    train.main(arguments)
    assert "holds this very model already" in capsys.readouterr().out


def test_a_record_from_before_sources_were_hashed_is_still_read(tmp_path: Path):
    released = REPO / "model_card" / "releases" / "v4.1.0" / "training_record.json"
    values = json.loads(released.read_text(encoding="utf-8"))
    assert values.pop("sources_sha256")["pseudo_labels"]
    assert values.pop("teacher")["id"] == "mpnet"
    (tmp_path / released.name).write_text(json.dumps(values), encoding="utf-8")
    record = TrainingRecord.load(tmp_path)
    assert (record.sources_sha256, record.teacher) == ({}, None)
