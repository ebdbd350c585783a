"""Inputs by other names: a folder as `.`, and SkillSkape from the Hub with cells that hold nothing."""

from pathlib import Path

import pytest
from datasets import Dataset

from tests.tiny_encoder import write_tiny_dataset, write_tiny_encoder
from training.base_model import find_base_model
from training.dataset_rows import read_dataset
from training.skillskape import read_skillskape


@pytest.mark.parametrize("place", [".", "inner/.."])
def test_the_folder_one_stands_in_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str):
    for name in ("data", "encoder"):
        (tmp_path / name / "inner").mkdir(parents=True)
    write_tiny_dataset(tmp_path / "data" / "train.csv")
    write_tiny_encoder(tmp_path / "encoder")
    monkeypatch.chdir(tmp_path / "data")
    dataset = read_dataset(place)
    assert (dataset.id, len(dataset.rows)) == ("data", 96)
    monkeypatch.chdir(tmp_path / "encoder")
    assert find_base_model(place).source.id == "encoder"


def test_empty_cells_of_the_hub_are_read_as_those_of_a_csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A row without a sentence, and a list with a label that is none."""
    rows = [(None, ["bake"]), ("we bake", ["bake", None])]
    sentences, skills = zip(*rows, strict=True)
    table = Dataset.from_dict({"sentence": sentences, "skills": skills})
    monkeypatch.setattr("training.dataset_rows._load", lambda *_: table)
    path = tmp_path / "train.csv"
    path.write_text("sentence,skills\n,['bake']\nwe bake,\"['bake', None]\"\n", encoding="utf-8")
    expected = [("", ("bake",)), ("we bake", ("bake", "None"))]
    assert read_skillskape("NAMESPACE/skillskape") == read_skillskape(str(path)) == expected
