"""Thresholds, calibration and rejection of sentences without skills, from scores set by hand."""

import numpy as np
import pytest

from eval.label_space import SkillNames
from eval.ranking import Rankings
from eval.thresholds import accepted_at, auroc, calibration, measure_thresholds, threshold_point

SCORES = np.array([[0.9, 0.5], [0.8, 0.4]])
RIGHT = np.array([[True, False], [False, True]])


def test_a_point_by_hand():
    """At 0.5, three suggestions are kept and one is right; three gold labels: precision 1/3, recall 1/3, F1 1/3.
    Of the empty sentences' best scores 0.45, 0.5, 0.2 two lie below: 2/3 rejected.
    """
    point = threshold_point(0.5, SCORES, RIGHT, 3, np.array([0.45, 0.5, 0.2]))
    assert (point.precision, point.recall, point.f1) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert point.rejected == pytest.approx(2 / 3)


def test_keeping_nothing_has_precision_one_recall_zero_and_f1_zero():
    point = threshold_point(1.0, SCORES, RIGHT, 3, np.empty(0))
    assert (point.precision, point.recall, point.f1, point.rejected) == (1.0, 0.0, 0.0, None)


def test_auroc_by_hand():
    """Pairs of (with, without): 0.9 beats 0.5 and 0.8; 0.5 ties with 0.5 and loses to 0.8: (2 + 0.5) / 4."""
    assert auroc(np.array([0.9, 0.5]), np.array([0.5, 0.8])) == pytest.approx(2.5 / 4)


def test_accepted_at_95_recall_by_hand():
    """Twenty sentences score 1..20: 95% are nineteen, so the threshold is 2; of 1, 2, 3 two pass."""
    assert accepted_at(0.95, np.arange(1.0, 21.0), np.array([1.0, 2.0, 3.0])) == pytest.approx(2 / 3)


def test_calibration_bins_are_ordered_and_hold_every_suggestion():
    """Twenty best scores 0..19, of which those from 10 on are right: the first five bins 0, the last five 1."""
    bins = calibration(np.arange(20.0)[::-1], np.arange(20)[::-1] >= 10)
    assert [found.suggestions for found in bins] == [2] * 10
    assert [found.right for found in bins] == [0] * 5 + [1] * 5
    assert (bins[0].low, bins[0].high, bins[0].mean_score) == (0, 1, 0.5)
    assert len(calibration(np.array([0.5]), np.array([True]))) == 1


def test_a_label_of_two_skills_is_found_once():
    """Gold a and b; the three best are a, its namesake and b: two of three kept are right, and both gold labels are
    found, so precision is 2/3 and recall 1, where counting the namesake gives 3/3 and 3/2.
    """
    rankings = Rankings(
        top=np.array([[0, 2, 1]]),
        top_scores=np.array([[0.9, 0.9, 0.5]], dtype=np.float32),
        gold_ranks=((1, 3),),
        gold_scores=((0.9, 0.5),),
    )
    names = SkillNames(labels=("a", "b", "a"), source="", version="")
    found = measure_thresholds(rankings, [{"a", "b"}], names, np.empty((0, 1)), chosen=0.1)
    assert (found.chosen.precision, found.chosen.recall) == pytest.approx((2 / 3, 1))


def test_all_of_it_from_rankings():
    """Two sentences; gold a, and b with c. Their two best are (a, b) and (a, c). F1 is best where the rights are
    kept and the wrongs are not. At 0.4 two of four kept are right, of three gold:
    F1 = 2 * (1/2 * 2/3) / (1/2 + 2/3) = 4/7, at 0.85 precision 1, recall 1/3: F1 = 1/2.
    """
    rankings = Rankings(
        top=np.array([[0, 1], [0, 2]]),
        top_scores=SCORES.astype(np.float32),
        gold_ranks=((1,), (9, 2)),
        gold_scores=((0.9,), (0.1, 0.4)),
    )
    names = SkillNames(labels=("a", "b", "c"), source="", version="")
    found = measure_thresholds(rankings, [{"a"}, {"b", "c"}], names, np.array([[0.3], [0.85]]), chosen=0.85)
    assert found.best.f1 == pytest.approx(4 / 7)
    assert found.best.threshold == pytest.approx(0.4)
    assert found.chosen.f1 == pytest.approx(1 / 2)
    assert (found.sentences_with_skill, found.sentences_without_skill, found.suggestions_a_sentence) == (2, 2, 2)
    assert found.auroc == pytest.approx(3 / 4)
    levels = [point.threshold for point in found.points]
    assert levels == sorted(levels)
    without = measure_thresholds(rankings, [{"a"}, {"b", "c"}], names, np.empty((0, 1)))
    assert (without.auroc, without.accepted_at_95_recall, without.best.rejected) == (None, None, None)
