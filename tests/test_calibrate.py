"""Choosing a threshold: precision, recall and F0.5 by hand, and settings that come back as they were written."""

import json
from dataclasses import replace

import numpy as np
import pytest

import threshold_choice
from dataset_builder.benchmark_files import GoldSentence
from dataset_builder.contract import StageError
from no_skill import Gate
from skill_finder import Settings, SkillFinder
from space.calibrate import (
    calibrate_names,
    read_skillspan,
    read_validation,
    settings_json,
)
from space.calibrate import (
    test_sentences as sentences_of_tests,
)
from tests.tiny_finder import tiny_finder
from threshold_choice import THRESHOLDS, Choice, choose_threshold, qualities

SENTENCES = [GoldSentence("You bake bread", ("bake bread in ovens",)), GoldSentence("You plan shifts", ("R",))]


def test_qualities_by_hand():
    """ "You bake bread" finds its skill at 2 / sqrt(12) = 0.577. "You plan shifts" finds "plan shifts of employees" at
    2 / sqrt(12) too, and "plan" as it is written; both are wrong.
    At 0.52 three are found, one is right, two are asked for: F0.5 = 1.25 / (3 + 0.25 x 2)."""
    by_threshold = {one.threshold: one for one in qualities(tiny_finder(), SENTENCES, Settings())}
    assert list(by_threshold) == THRESHOLDS.tolist()
    at = by_threshold[0.52]
    f_half = 1.25 / 3.5
    assert (at.precision, at.recall, at.f_half) == pytest.approx((1 / 3, 1 / 2, f_half))
    # The first sentence: 1.25 x 1 right against 1 found + 0.25; the second: none right against 2 found + 0.25.
    by_hand = ((1.25 - f_half * 1.25) ** 2 + (0 - f_half * 2.25) ** 2) ** 0.5 / 3.5
    assert at.f_half_error == pytest.approx(by_hand)
    assert by_threshold[0.6].recall == 0.0


def test_of_choices_as_good_as_the_best_the_one_that_finds_most_is_taken(monkeypatch):
    finder = tiny_finder()
    choice, best = choose_threshold(finder, SENTENCES)
    others = [one for weight in (0.0, 0.2, 0.4) for one in qualities(finder, SENTENCES, Settings(agreement=weight))]
    assert best.f_half >= max(one.f_half for one in others) > 0
    assert choice.f_half >= best.f_half - best.f_half_error
    made_up = [
        Choice(0.8, 0.0, 0.75, 0.25, f_half=0.50, f_half_error=0.04),  # the best
        Choice(0.7, 0.0, 0.65, 0.35, f_half=0.47, f_half_error=0.01),  # as good, and finds more
        Choice(0.6, 0.0, 0.55, 0.35, f_half=0.46, f_half_error=0.09),  # as good, finds as much, and is less good
        Choice(0.5, 0.0, 0.40, 0.60, f_half=0.45, f_half_error=0.09),  # finds most, and is not as good
    ]
    monkeypatch.setattr(threshold_choice, "qualities", lambda *_: made_up)
    assert choose_threshold(finder, SENTENCES) == (made_up[1], made_up[0])


def test_settings_come_back(tmp_path):
    gate = Gate(np.array([0.5, -0.25], np.float32), 0.125, 0.2)
    file = tmp_path / "skill_finder.json"
    file.write_text(settings_json(Settings(0.6, "here", gate, 0.3)), encoding="utf-8")
    back = Settings.from_file(file)
    assert (back.threshold, back.agreement, back.calibrated_on) == (0.6, 0.3, "here")
    assert back.gate.weights.tolist() == [0.5, -0.25]
    assert (back.gate.bias, back.gate.least) == (0.125, 0.2)


def test_names_get_values_of_their_own(tmp_path):
    """As a finder over names chooses them, whatever the index of the model's own was made of."""
    path = tmp_path / "x_validation.csv"
    path.write_text("sentence,label\nYou bake bread,bake bread in ovens\nYou plan shifts,R\n")
    by_names, _ = choose_threshold(tiny_finder(), SENTENCES)
    finder = tiny_finder()
    moved = replace(finder.index, vectors=np.roll(finder.index.vectors, 1, axis=0))
    finder = SkillFinder(finder.encoder, moved, Settings())
    assert choose_threshold(finder, SENTENCES)[0] != by_names
    settings, found = calibrate_names(finder, Settings(0.9, "x", None, 0.1), [path])
    assert settings == Settings(0.9, "x", None, 0.1, (by_names.threshold, by_names.agreement))
    assert (found["threshold"], found["f_half"]) == (by_names.threshold, by_names.f_half)
    file = tmp_path / "skill_finder.json"
    file.write_text(settings_json(settings), encoding="utf-8")
    assert Settings.from_file(file) == settings
    assert settings.for_names() == replace(settings, threshold=by_names.threshold, agreement=by_names.agreement)


def test_test_sentences_choose_nothing(tmp_path):
    """Of four sentences, one with and one without a skill stand in a test file as well."""
    header = "sentence,label\n"
    path = tmp_path / "x_validation.csv"
    path.write_text(header + "We bake.,bake\nWe sail.,sail\nHello.,UNDERSPECIFIED\nBye.,UNDERSPECIFIED\n")
    (tmp_path / "y_test.csv").write_text(header + "we bake,bake\nBye!,UNDERSPECIFIED\n")
    assert read_validation([path]) == [GoldSentence("We sail.", ("sail",)), GoldSentence("Hello.", ())]


def test_the_gate_never_sees_a_test_sentence(tmp_path):
    """SkillSpan holds sentences of the benchmarks' test files, in tokens and with other spacing."""
    (tmp_path / "x_validation.csv").write_text("sentence,label\nWe sail.,sail\n")
    (tmp_path / "y_test.csv").write_text("sentence,label\nWe bake bread!,bake\nHello there,UNDERSPECIFIED\n")
    rows = [(["We", "bake", "bread", "!"], "B"), (["hello", "there"], "O"), (["We", "weld"], "B"), (["Bye"], "O")]
    lines = [
        {"tokens": tokens, "tags_skill": [tag] * len(tokens), "tags_knowledge": ["O"] * len(tokens), "idx": 1}
        for tokens, tag in rows
    ]
    (tmp_path / "train.json").write_text("\n".join(map(json.dumps, lines)) + "\n")
    forbidden = sentences_of_tests([tmp_path / "x_validation.csv"])
    assert read_skillspan(tmp_path / "train.json", forbidden).sentences == ("We weld", "Bye")
    assert len(read_skillspan(tmp_path / "train.json").sentences) == 4


@pytest.mark.parametrize(
    "wrong", [{"idx": "doc-1"}, {"idx": None}, {"tokens": None}, {"tokens": [1]}, {"tags_skill": None}]
)
def test_a_line_that_is_no_skillspan_sentence_is_named(tmp_path, wrong):
    """The second of two lines; one wrong value, a list in place of the sentence, and a sentence without idx."""
    good = {"tokens": ["We", "weld"], "tags_skill": ["O", "B"], "tags_knowledge": ["O", "O"], "idx": 1}
    without_idx = {key: value for key, value in good.items() if key != "idx"}
    for line in ({**good, **wrong}, [good], without_idx):
        (tmp_path / "train.json").write_text(f"{json.dumps(good)}\n{json.dumps(line)}\n")
        with pytest.raises(StageError, match=r"train\.json line 2 is not a SkillSpan sentence"):
            read_skillspan(tmp_path / "train.json")
