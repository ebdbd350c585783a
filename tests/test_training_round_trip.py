import shutil
from pathlib import Path

import numpy as np
import pytest

from dataset_builder.contract import StageError
from tests.test_training_pairs import inputs, stage, texts
from tests.tiny_encoder import tiny_labels, write_tiny_dataset, write_tiny_encoder
from training import round_trip
from training.base_model import open_encoder
from training.pair_sources import TrainingPair
from training.pairs import collect_pairs
from training.prepare import RunOptions, prepare
from training.recipe import recipe_from_dict
from training.round_trip import RoundTrip
from training.run import prepare_quietly
from training.run_record import TrainingRecord

LABELS = tiny_labels()


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_encoder(tmp_path_factory.mktemp("encoder"))


def ranks(folder: Path, pairs: list[TrainingPair]) -> list[int]:
    """Rank of each pair's skill, from 1, one pair after the other."""
    encoder = open_encoder(folder)
    found = []
    for pair in pairs:
        text, *labels = encoder.encode([pair.text, *LABELS])
        cosines = [text @ label / np.linalg.norm(text) / np.linalg.norm(label) for label in labels]
        found.append(1 + sum(cosine > cosines[pair.skill] for cosine in cosines))
    return found


def test_the_skill_must_be_among_the_nearest(encoder_folder: Path):
    pairs = [
        TrainingPair(f"we need you to {LABELS[(skill + shift) % 24]}", skill, (skill,), "synthetic")
        for skill in range(24)
        for shift in (0, 1, 5)
    ]
    found_again = RoundTrip(encoder_folder, LABELS, "fp32")
    expected = ranks(encoder_folder, pairs)
    for most in (1, 3, 10):
        assert found_again(pairs, most) == [rank <= most for rank in expected]
    assert 0 < sum(rank <= 3 for rank in expected) < len(pairs)
    assert all(found_again(pairs, 1_000))
    assert found_again([], 3) == []


def test_known_pairs_are_not_asked_again(encoder_folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Another seed draws from the same pairs: only a new one is embedded, once however often it stands there."""
    found_again, asked = RoundTrip(encoder_folder, LABELS, "fp32"), []
    real = round_trip.embed_texts
    monkeypatch.setattr(round_trip, "embed_texts", lambda *given: asked.append(len(given[1])) or real(*given))
    pairs = [TrainingPair(f"we {label}", skill, (skill,), "synthetic") for skill, label in enumerate(LABELS)]
    first = found_again(pairs, 3)
    new = TrainingPair("we sleep", 0, (0,), "synthetic")
    assert found_again([new, *pairs, new], 3)[1:-1] == first
    assert asked == [24, 24, 1]  # the texts, the labels, and the new text


def test_a_run_that_goes_on_embeds_nothing_again(tmp_path: Path, encoder_folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Answers are kept under the encoder's and the labels' names: other weights ask again, and a torn file too."""
    pairs = [TrainingPair(f"we {label}", skill, (skill,), "synthetic") for skill, label in enumerate(LABELS)]
    first = RoundTrip(encoder_folder, LABELS, "fp32", "a", tmp_path)(pairs, 3)
    asked: list[int] = []
    real = round_trip.embed_texts
    monkeypatch.setattr(round_trip, "embed_texts", lambda *given: asked.append(len(given[1])) or real(*given))
    assert RoundTrip(encoder_folder, LABELS, "fp32", "a", tmp_path)(pairs, 3) == first
    assert asked == []
    assert RoundTrip(encoder_folder, LABELS, "fp32", "b", tmp_path)(pairs, 3) == first
    assert asked == [24, 24]
    for file in tmp_path.iterdir():
        file.write_text(file.read_text(encoding="utf-8")[:-5], encoding="utf-8")
    assert RoundTrip(encoder_folder, LABELS, "fp32", "a", tmp_path)(pairs, 3) == first
    assert asked == [24, 24, 24, 24]


def test_a_source_keeps_what_is_found_again_and_counts_the_rest():
    def every_second(pairs: list[TrainingPair], most: int) -> list[bool]:
        return [place % 2 == 0 for place in range(len(pairs))]

    wanted = stage(synthetic={"round_trip": 10}, descriptions={})
    made = collect_pairs(wanted, inputs(), 1, found_again=every_second)
    assert texts(made)[:12] == [f"We {label}." for label in LABELS[::2]]
    assert len(made.pairs) == 12 + 24
    assert made.left_out == {"synthetic: skill not found again": 12}
    with pytest.raises(StageError, match="'synthetic' has round_trip, and no encoder"):
        collect_pairs(wanted, inputs(), 1)


def test_a_recipe_asks_for_it(tmp_path: Path, encoder_folder: Path):
    dataset = write_tiny_dataset(tmp_path / "pairs.csv")

    def pairs_with(source: dict[str, int]) -> int:
        recipe = recipe_from_dict({"name": "one", "stages": [{"name": "one", "sources": {"synthetic": source}}]})
        return len(prepare(recipe, RunOptions(str(dataset), str(encoder_folder), tmp_path / "out")).pairs[0].pairs)

    assert 0 < pairs_with({"round_trip": 5}) < pairs_with({})
    assert not (tmp_path / "out").exists()  # only a run writes
    with pytest.raises(StageError, match="round_trip must be above 0, got 0"):
        pairs_with({"round_trip": 0})


def test_a_run_keeps_its_answers_until_it_is_done(tmp_path: Path, encoder_folder: Path):
    dataset, out = write_tiny_dataset(tmp_path / "pairs.csv"), tmp_path / "out"
    stage_of = {"name": "one", "sources": {"synthetic": {"round_trip": 5}}}
    recipe = recipe_from_dict({"name": "one", "stages": [stage_of]})
    options = RunOptions(str(dataset), str(encoder_folder), out)
    prepare_quietly(recipe, options)
    assert [file.parent.name for file in out.rglob("round_trip-*.json")] == ["checkpoints"]
    shutil.rmtree(out)
    out.mkdir()
    (out / TrainingRecord.FILE_NAME).write_text("{}", encoding="utf-8")
    prepare_quietly(recipe, options)
    assert [file.name for file in out.rglob("*")] == [TrainingRecord.FILE_NAME]
