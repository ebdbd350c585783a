"""Several teachers label together: what counts as agreed, what is said of them, and what they are refused for."""

import pytest

from dataset_builder.contract import StageError, sha256_of_lines
from tests.test_pseudo_labels import FixedTeacher, tiny_esco
from training.kept_labels import UNKNOWN, Notes
from training.label_space import label_space_of_esco
from training.run_record import ModelSource
from training.teachers import Teachers, agree

FIRST = ModelSource(id="first", revision=None, weights_sha256="1" * 64)
SECOND = ModelSource(id="second", revision="v2", weights_sha256="2" * 64)


def kept(path, source, labels, **known):
    notes = Notes(FixedTeacher(**known), labels, source)
    notes.nearest(list(known))
    notes.save(path)
    return str(path)


def test_what_all_say_counts_as_much_as_the_least_sure_of_them():
    first = [("bake bread", 0.9), ("weld steel", 0.9), ("bake bread", UNKNOWN)]
    second = [("bake bread", 0.6), ("bake bread", 0.8), ("bake bread", 0.9)]
    third = [("bake bread", 0.7), ("weld steel", 0.9), ("bake bread", 0.9)]
    assert agree([first, second, third]) == [("bake bread", 0.6), ("weld steel", UNKNOWN), ("bake bread", UNKNOWN)]
    assert agree([first]) == first


@pytest.fixture
def places(tmp_path):
    labels = label_space_of_esco(tiny_esco())
    baker, welder = labels.labels[:2]
    return [
        kept(tmp_path / "first.parquet", FIRST, labels, a=(baker, 0.9), b=(welder, 0.75), c=(baker, 0.5)),
        kept(tmp_path / "second.parquet", SECOND, labels, a=(baker, 0.75), b=(baker, 0.9)),
    ]


def test_teachers_agree_text_by_text(places):
    both = Teachers(places, tiny_esco())
    labels = label_space_of_esco(tiny_esco()).labels
    assert both.nearest(["a", "b", "c"]) == [(labels[0], 0.75), (labels[1], UNKNOWN), (labels[0], UNKNOWN)]
    assert both.told() == (1, 3)  # the second knows nothing of c
    one = Teachers(places[:1], tiny_esco())
    assert one.nearest(["c"]) == [(labels[0], 0.5)]
    assert one.told() == (0, 1)


def test_teachers_are_named_together(places):
    both = Teachers(places, tiny_esco())
    assert both.sources == (FIRST, SECOND)
    assert both.source.id == "first and second@v2"
    assert both.source.weights_sha256 == sha256_of_lines(["1" * 64, "2" * 64])
    assert Teachers(places[:1], tiny_esco()).source == FIRST


def test_the_same_teacher_twice_agrees_with_nobody_but_itself(places):
    with pytest.raises(StageError, match="a teacher is given twice"):
        Teachers([places[0], places[0]], tiny_esco())
