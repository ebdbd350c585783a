"""The round trip: an encoder must find a sentence's skill again, near enough."""

import numpy as np
import pytest

from dataset_builder.contract import StageError
from dataset_builder.filters import Report
from dataset_builder.round_trip import REASON, Bounds, Remembering, bound_on_validation, drop_lost, gold_ranks
from tests.test_builder_filters import BREAD, BUDGET, CPP, RELEASE, WordEncoder, sentence, write_benchmark


def names_of(encoder):
    vectors = encoder.encode(RELEASE.labels)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_the_round_trip_finds_the_rank_of_the_gold_name_that_ranks_last():
    """'bake budgets': bread and budgets both score 1/2, C++ 0. Ties count in favour: both have rank 1, C++ rank 3."""
    encoder = WordEncoder()
    ranks = gold_ranks(encoder, ["bake budgets"] * 5, [[0], [2], [1], [0, 2], [2, 1]], names_of(encoder))
    assert ranks == [1, 1, 3, 1, 3]
    assert gold_ranks(encoder, [], [], names_of(encoder)) == []


def test_sentences_of_which_a_skill_is_not_found_again_are_dropped():
    """Of a co-mention each skill gets a row, so each must be found: in the third bread is, C++ is not."""
    encoder = WordEncoder()
    given = [sentence("bake bread", BREAD), sentence("bake bread", CPP), sentence("bake bread", CPP, BREAD)]
    given += [sentence("bake budgets", BREAD, BUDGET)]
    report = Report()
    assert drop_lost(given, encoder, RELEASE, names_of(encoder), Bounds(1), report) == [given[0], given[3]]
    assert report.rejected == {REASON: 2}


def test_a_skill_with_too_few_near_sentences_keeps_its_nearest_ones():
    """C++ ranks third of three, with bread and budgets at 1/2 each, and second where one of them has a word there.

    Bread has its own sentence near, so that its far one is not needed; of C++'s three the two nearest are kept.
    """
    encoder = WordEncoder()
    near, far = sentence("bake bread", BREAD), sentence("manage budgets", BREAD)
    third, second, again = sentence("bake budgets", CPP), sentence("bread", CPP), sentence("budgets", CPP)
    given = [third, near, second, far, again]
    assert gold_ranks(encoder, ["bake budgets", "bread", "budgets"], [[1]] * 3, names_of(encoder)) == [3, 2, 2]
    kept = {
        count: drop_lost(given, encoder, RELEASE, names_of(encoder), Bounds(1, 3, count), Report())
        for count in (0, 1, 2, 3)
    }
    assert kept[0] == [near]
    assert kept[1] == [near, second]
    assert kept[2] == [near, second, far, again]
    assert kept[3] == given
    assert drop_lost(given, encoder, RELEASE, names_of(encoder), Bounds(1, 2, 3), Report()) == [
        near,
        second,
        far,
        again,
    ]


def test_a_text_is_embedded_once_however_often_filters_run():
    asked = []

    class Counting(WordEncoder):
        def encode(self, texts):
            asked.extend(texts)
            return super().encode(texts)

    encoder = Remembering(Counting())
    first = encoder.encode(["bake bread", "manage budgets", "bake bread"])
    again = encoder.encode(["manage budgets", "bake c++"])
    assert asked == ["bake bread", "manage budgets", "bake c++"]
    assert np.array_equal(first, WordEncoder().encode(["bake bread", "manage budgets", "bake bread"]))
    assert np.array_equal(again, WordEncoder().encode(["manage budgets", "bake c++"]))


def test_the_bound_is_the_rank_that_95_percent_of_gold_labels_reach(tmp_path):
    """Twenty pairs: nineteen at rank 1, one at rank 3. ceil(0.95 x 20) = 19, so the 19th rank counts: 1.

    With two more at 1 and 2 (after bread, level with budgets) ceil(0.95 x 22) = 21, and the 21st of 1 x 20, 2, 3 is 2.
    What a test file holds as well does not count: of 21 the 20th is 1 again.
    """
    rows = [(f"bake bread {number}", "bake bread") for number in range(19)] + [("bake budgets", "C++")]
    write_benchmark(tmp_path, "x_validation.csv", *rows)
    encoder = WordEncoder()
    assert bound_on_validation(encoder, RELEASE, tmp_path, names_of(encoder)) == 1
    write_benchmark(tmp_path, "y_validation.csv", ("bake bread 2", "C++"), ("bake bread yes", "bake bread"))
    assert bound_on_validation(encoder, RELEASE, tmp_path, names_of(encoder)) == 2
    write_benchmark(tmp_path, "y_test.csv", ("bake bread 2", "C++"))
    assert bound_on_validation(encoder, RELEASE, tmp_path, names_of(encoder)) == 1
    with pytest.raises(StageError, match=r"_validation\.csv"):
        bound_on_validation(encoder, RELEASE, tmp_path / "none", names_of(encoder))
