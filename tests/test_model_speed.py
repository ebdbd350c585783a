"""model_card.speed: what it measures is counted right, and its record goes into the card."""

import shutil

import pytest

from dataset_builder.contract import StageError
from model_card import speed
from model_card.facts import gather_facts
from model_card.label_index import build_label_index, weight_files
from model_card.render import render_card
from model_card.speed import SpeedRecord, main, measure_speed
from tests.card_folders import write_dataset, write_trained_model
from tests.card_records import OTHER_RESULTS, RELEASE, own_results


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from sentence_transformers import SentenceTransformer

    model = write_trained_model(tmp_path_factory.mktemp("speed") / "model")
    build_label_index(RELEASE, lambda: SentenceTransformer(str(model), device="cpu"), model, "tiny")
    return model


def test_rates_from_a_clock_by_hand(folder, monkeypatch):
    """Opening takes 7 ticks of 0.5 s. Three runs over 4 sentences take 2, 1 and 3 s: the best gives 4 a second.
    Sentences of 1, 2, 3 and 4 words have 2.5 on average."""
    times = iter([0.0, 3.5, 10.0, 12.0, 20.0, 21.0, 30.0, 33.0])
    monkeypatch.setattr(speed.time, "perf_counter", lambda: next(times))
    monkeypatch.setattr(speed, "_open_and_rank", lambda *_: -(next(times) - next(times)))
    monkeypatch.setattr(speed, "_open", lambda folder, path, cores: ("torch", lambda texts: None))
    record = measure_speed(folder, ["a", "a b", "a b c", "a b c d"], repeat=3, cores=2)
    assert record.open_and_rank_s == 3.5
    assert [(one.weights_file, one.sentences_per_s) for one in record.backends] == [("model.safetensors", 4.0)]
    assert (record.sentences, record.words_per_sentence, record.cpu_cores) == (4, 2.5, 2)
    assert record.weights_sha256 == weight_files(folder)


def test_the_command_measures_and_the_card_says_it(folder, tmp_path, capsys):
    (tmp_path / "s.csv").write_text("sentence,label\nYou bake bread.,bake bread\nYou weld.,weld pipes\n")
    main([str(folder), "--sentences", str(tmp_path / "s.csv"), "--repeat", "1"])
    assert "model.safetensors" in capsys.readouterr().out
    record = SpeedRecord.load(folder)
    assert (record.sentences, record.words_per_sentence) == (2, 2.5)
    own_results(folder).save(tmp_path / "own.json")
    OTHER_RESULTS.save(tmp_path / "other.json")
    facts = gather_facts(folder, [tmp_path / "own.json"], write_dataset(tmp_path / "data"))
    assert "over 2 sentences of 2.5 words" in render_card(facts)
    record.model_copy(update={"weights_sha256": {"model.safetensors": "0" * 64}}).save(folder)
    with pytest.raises(StageError, match="measured with other weights"):
        gather_facts(folder, [tmp_path / "own.json"], tmp_path / "data")


def test_a_file_that_the_index_does_not_know_is_not_measured(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "model.onnx").write_bytes(b"exported later")
    with pytest.raises(StageError, match=r"made for other weights than model\.onnx"):
        measure_speed(copy, ["You bake bread."], repeat=1, cores=1)


def test_bad_input(folder, tmp_path):
    with pytest.raises(StageError, match="--repeat must be at least 1, got 0"):
        main([str(folder), "--repeat", "0"])
    with pytest.raises(StageError, match="Is it a model folder"):
        main([str(tmp_path)])
    with pytest.raises(StageError, match="does not exist"):
        main([str(folder), "--sentences", str(tmp_path / "nothing.csv")])
