"""model_card.build as a command: what it keeps, what it refuses in one line, and what then stays as it was."""

import shutil

import pytest

from dataset_builder.contract import run_command
from dataset_builder.schema import DatasetManifest
from model_card.build import main
from tests.card_folders import card_command, retrain
from tests.card_records import VERSION, own_results
from training.run_record import TrainingRecord


def test_it_replaces_the_card_of_the_library_and_keeps_the_index(made, capsys):
    first = (made / "model/label_index/label_embeddings.safetensors").stat().st_mtime_ns
    main(card_command(made))
    assert "2 runs, label index of 3 skills" in capsys.readouterr().out
    assert (made / "model/label_index/label_embeddings.safetensors").stat().st_mtime_ns == first
    assert (made / "model/README.md").read_text(encoding="utf-8").count("ESCO skill bi-encoder") == 1


def test_a_stopped_card_leaves_the_old_one_and_says_one_line(work, capsys):
    before = (work / "model/README.md").read_bytes()
    own_results(work / "model", dataset_version="0.9.0").save(work / "own.json")
    assert run_command(main, card_command(work)) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: dataset version contradicts")
    assert "\n" not in error
    assert (work / "model/README.md").read_bytes() == before


def test_a_token_in_a_record_reaches_no_card(work, capsys):
    """Someone trained with a token on the command line: the record keeps the command, the card must not."""
    secret = "hf_" + "0123456789" * 3
    before = (work / "model/README.md").read_bytes()
    retrain(work, command=f"accelerate launch -m training.train --token {secret}")
    own_results(work / "model").save(work / "own.json")
    assert run_command(main, card_command(work)) == 2
    said = capsys.readouterr()
    assert "holds what looks like a token (hf_...)" in said.err
    assert secret not in said.err + said.out
    assert (work / "model/README.md").read_bytes() == before


def test_records_are_of_one_version(made):
    assert TrainingRecord.load(made / "model").version == DatasetManifest.load(made / "data").version == VERSION


def test_damaged_weights_are_one_line(work, capsys):
    shutil.rmtree(work / "model/label_index")
    (work / "model/model.safetensors").write_bytes(b"x")
    assert run_command(main, card_command(work)) == 2
    assert "does not open as a SentenceTransformer" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["esco-skills", "https://huggingface.co/ann/esco-skills"])
def test_a_name_that_is_none_on_the_hub_reaches_no_card(work, capsys, name):
    before = (work / "model/README.md").read_bytes()
    assert run_command(main, [*card_command(work), "--repo-id", name]) == 2
    assert f"error: {name!r} is no name on the Hub" in capsys.readouterr().err
    assert (work / "model/README.md").read_bytes() == before


def test_a_release_without_its_version_is_mended_by_one_that_says_it(work, capsys):
    """The index was made from a folder that says no version: the card is refused, and then written."""
    shutil.rmtree(work / "model/label_index")
    words = card_command(work)
    (work / "v1.1.0").rename(work / "esco")
    assert run_command(main, [*words[:-1], str(work / "esco")]) == 2
    assert "results are over ESCO 1.1.0, the label index is of unknown" in capsys.readouterr().err
    (work / "esco").rename(work / "v1.1.0")
    assert run_command(main, words) == 0
