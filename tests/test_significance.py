"""Bootstrap intervals, paired tests and Holm's correction against values worked by hand or by enumeration."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from eval.significance import estimates, holm, paired_difference


def test_interval_of_many_values_is_near_the_normal_one():
    """Mean of 400 values, standard error s/20: the 95% interval is the mean ± 1.96 s/20, within bootstrap noise."""
    values = np.random.default_rng(1).normal(0.5, 0.2, size=(400, 2))
    for column, estimate in enumerate(estimates(values)):
        mean, error = values[:, column].mean(), values[:, column].std() / 20
        assert estimate.value == pytest.approx(mean)
        assert estimate.low == pytest.approx(mean - 1.96 * error, abs=0.1 * error)
        assert estimate.high == pytest.approx(mean + 1.96 * error, abs=0.1 * error)


def test_interval_of_equal_values_has_no_width_and_of_two_values_is_all_there_is():
    """Draws of (0, 1) have mean 0, 1/2 or 1, each extreme with chance 1/4 > 2.5%: the interval is [0, 1]."""
    assert vars(estimates(np.full((5, 1), 0.25))[0]) == {"value": 0.25, "low": 0.25, "high": 0.25}
    assert vars(estimates(np.array([[0.0], [1.0]]))[0]) == {"value": 0.5, "low": 0.0, "high": 1.0}


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(2).random((50, 1))
    assert estimates(values, seed=1) == estimates(values, seed=1)
    assert estimates(values, seed=1) != estimates(values, seed=2)


def test_sample_counts_that_do_not_fill_a_block_are_all_used():
    values = np.random.default_rng(2).random((50, 1))
    assert estimates(values, samples=1500) != estimates(values, samples=1000)


@pytest.mark.parametrize("values", [np.zeros(3), np.zeros((0, 2))])
def test_values_of_the_wrong_shape_are_refused(values):
    with pytest.raises(ValueError, match="values must be"):
        estimates(values)


def test_p_value_agrees_with_all_sign_flips():
    """Eight differences have 256 sign patterns; the exact p is the share whose |sum| reaches the observed one."""
    differences = np.array([0.2, 0.5, -0.1, 0.3, 0.4, 0.0, 0.6, -0.2])
    observed = abs(differences.sum())
    sums = [abs(np.dot(signs, differences)) for signs in product([-1, 1], repeat=8)]
    exact = np.mean([value >= observed - 1e-9 for value in sums])
    found = paired_difference(np.zeros(8), differences)
    assert found.difference == pytest.approx(differences.mean())
    assert found.p_value == pytest.approx(exact, abs=0.01)
    assert found.low < found.difference < found.high


def test_a_clear_difference_has_the_smallest_p_that_the_samples_allow():
    """All 30 queries gain 0.5: no sampled pattern but the observed reaches it, so p = 1 / (10000 + 1)."""
    found = paired_difference(np.zeros(30), np.full(30, 0.5))
    assert found.p_value == pytest.approx(1 / 10_001)
    assert (found.low, found.high) == (0.5, 0.5)


def test_no_difference_has_p_of_one():
    assert paired_difference(np.ones(5), np.ones(5)).p_value == 1


def test_p_value_is_near_the_t_test_for_many_queries():
    generator = np.random.default_rng(4)
    first = generator.random(300)
    second = first + generator.normal(0.03, 0.3, size=300)
    expected = stats.ttest_rel(first, second).pvalue
    assert paired_difference(first, second).p_value == pytest.approx(expected, abs=0.02)


def test_different_queries_cannot_be_paired():
    with pytest.raises(ValueError, match=r"shapes \(2,\) and \(3,\)"):
        paired_difference(np.zeros(2), np.zeros(3))


def test_holm_by_hand():
    """Sorted .01 .03 .04 times 3 2 1: .03 .06 .04, and never below the one before: .03 .06 .06."""
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
