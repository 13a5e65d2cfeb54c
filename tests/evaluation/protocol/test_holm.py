"""Tests over users, and their correction for many comparisons."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from prefprior.evaluation.protocol.holm import holm, paired_p


def test_the_adjusted_p_values_of_a_known_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_a_single_comparison_is_not_adjusted() -> None:
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


def test_no_adjusted_p_value_is_above_1() -> None:
    assert holm([0.5, 0.9, 0.7]) == [1.0, 1.0, 1.0]


def test_p_values_are_those_of_the_paired_t_test() -> None:
    values = np.random.default_rng(0).normal(0.2, 1.0, 30)
    known = np.append(values, np.nan)
    assert paired_p(known) == pytest.approx(ttest_1samp(values, 0.0).pvalue)


def test_what_is_alike_for_all_users() -> None:
    assert paired_p(np.zeros(5)) == 1.0
    assert paired_p(np.full(5, -0.1)) == 0.0
    assert paired_p(np.array([0.3])) == 1.0, "one user tells nothing of others"
