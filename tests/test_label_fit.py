"""model_card.label_fit against slow, obvious arithmetic, and model_card.labelled_texts on files."""

import math

import numpy as np
import pytest
import torch

from dataset_builder.contract import StageError, sha256_of_file
from model_card.label_fit import FitSettings, fit_labels, label_loss
from model_card.labelled_texts import read_labelled

LABELS = ["bake bread", "weld pipes", "Python", "weld pipes"]
BENCHMARK = """sentence,label
You lead a team of seven engineers in Ghent.,Python
No skill stands in this line here.,LABEL NOT PRESENT
"""


def unit(vectors) -> np.ndarray:
    rows = np.asarray(vectors, dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def draw(rows: int, seed: int, width: int = 6) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(rows, width)))


def slow_loss(texts, weights, gold, near, scale) -> float:
    """One text, one label, one term at a time."""
    total = 0.0
    for text, labels in zip(texts, gold, strict=True):
        own = set(labels)
        left_out = {other for label in own for other in near.get(label, [])} - own
        exps = {}
        for label, weight in enumerate(weights):
            if label not in left_out:
                exps[label] = math.exp(scale * float(np.dot(text, weight)) / math.sqrt(float(np.dot(weight, weight))))
        for label in own:
            total -= math.log(exps[label] / sum(exps.values())) / len(own)
    return total / len(gold)


GOLD = [[0], [1, 4], [2, 2, 0], [5]]
NEAR = {0: [3], 1: [4, 2], 5: []}


@pytest.mark.parametrize("near", [{}, NEAR])
def test_the_loss_by_hand(near):
    texts, weights = draw(4, 1), 3 * draw(7, 2) + 0.1
    found = label_loss(torch.tensor(texts), torch.tensor(weights), GOLD, near, 5.0)
    assert float(found) == pytest.approx(slow_loss(texts, weights, GOLD, near, 5.0), rel=1e-5)


def test_near_labels_matter_to_it_and_never_hide_a_label_of_the_text_s_own():
    """1 is near to 4, and both are the second text's."""
    texts, weights = torch.tensor(draw(4, 1)), torch.tensor(draw(7, 2))
    with_near, without = (float(label_loss(texts, weights, GOLD, near, 5.0)) for near in (NEAR, {}))
    assert with_near < without
    assert math.isfinite(with_near)


def test_its_gradient():
    texts, weights = torch.tensor(draw(4, 1), dtype=torch.float64), torch.tensor(draw(7, 2), dtype=torch.float64)
    weights.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda moved: label_loss(texts, moved, GOLD, NEAR, 5.0), (weights,))


def test_labels_move_to_their_texts_and_the_others_away():
    start, texts = draw(6, 3), draw(40, 4)
    gold = [[row % 3] for row in range(40)]
    settings = FitSettings(epochs=20, learning_rate=0.02, near=2.0, batch_size=16)
    done = []
    moved = fit_labels(start, texts, gold, settings, done.append)
    assert sum(done) == 20 * 40
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 1, atol=1e-5)
    before, after = (slow_loss(texts, one, gold, {}, settings.scale) for one in (start, moved))
    assert after < 0.8 * before
    own = [float(texts[row] @ moved[row % 3] - texts[row] @ start[row % 3]) for row in range(40)]
    assert np.mean(own) > 0.02
    assert float((texts @ moved[3:].T).mean()) < float((texts @ start[3:].T).mean())


def test_labels_that_mean_the_same_do_not_push_each_other_away():
    """The second label is a twin of the first, and no text has it."""
    start = unit(np.vstack([draw(1, 5), draw(1, 5) + 0.01, draw(3, 6)]))
    texts = unit(start[:1] + 0.3 * draw(30, 7))
    gold = [[0]] * 30

    def kept(near: float) -> float:
        moved = fit_labels(start, texts, gold, FitSettings(epochs=10, learning_rate=0.02, near=near))
        return float((texts @ moved[1]).mean())

    assert kept(0.8) > kept(2.0) + 0.05


def test_the_same_seed_gives_the_same_and_the_start_is_left_alone():
    start, texts, gold = draw(6, 3), draw(40, 4), [[row % 3] for row in range(40)]
    before = start.copy()
    settings = FitSettings(epochs=2, batch_size=16)
    one, two = (fit_labels(start, texts, gold, settings) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(start, before)
    other = fit_labels(start, texts, gold, FitSettings(epochs=2, batch_size=16, seed=2))
    assert not np.array_equal(one, other)


@pytest.fixture
def files(tmp_path):
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks/tech_test.csv").write_text(BENCHMARK)
    (tmp_path / "one.csv").write_text(
        "sentence,skills\n"
        "You bake bread and weld pipes.,\"['bake bread', ' weld pipes', 'fly kites']\"\n"
        "You fly kites.,['fly kites']\n"
        "Nothing at all.,[]\n"
        "You lead a team of seven engineers in Ghent!,['Python']\n"
        "We are proud. No skill stands in this line here. Join us.,['Python']\n"
    )
    (tmp_path / "two.csv").write_text("sentence,skills\nRun Python.,['Python']\n")
    return tmp_path


def test_what_is_read_of_labelled_files(files):
    """Not labels that are not ranked, sentences without any, and what gives a benchmark away; of twins the first."""
    names = [str(files / "one.csv"), str(files / "two.csv")]
    found = read_labelled(names, LABELS, files / "benchmarks")
    assert found.texts == ["You bake bread and weld pipes.", "Run Python."]
    assert found.gold == [(0, 1), (2,)]
    assert found.left_out == {"without a label to rank": 2, "of a benchmark": 2}
    assert found.files == {"one.csv": sha256_of_file(names[0]), "two.csv": sha256_of_file(names[1])}


def test_labelled_files_that_do_not_help(files):
    with pytest.raises(StageError, match="does not exist"):
        read_labelled([str(files / "three.csv")], LABELS, files / "benchmarks")
    with pytest.raises(StageError, match="no sentence has a label of the skills to rank"):
        read_labelled([str(files / "two.csv")], ["bake bread"], files / "benchmarks")
    with pytest.raises(StageError, match="holds no benchmark CSV"):
        read_labelled([str(files / "two.csv")], LABELS, files / "nothing")
    with pytest.raises(StageError, match="two of the labelled files have one name"):
        read_labelled([str(files / "two.csv")] * 2, LABELS, files / "benchmarks")
    (files / "two.csv").write_text("sentence,skills\nRun Python.,Python\n")
    with pytest.raises(StageError, match="holds no list"):
        read_labelled([str(files / "two.csv")], LABELS, files / "benchmarks")
