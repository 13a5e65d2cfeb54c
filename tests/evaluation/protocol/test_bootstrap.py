import numpy as np
import pytest
import torch

from prefprior.evaluation.protocol.bootstrap import difference, interval, weights


def test_the_interval_agrees_with_the_normal_approximation() -> None:
    values = np.random.default_rng(0).normal(2.0, 1.0, 400)
    figure = interval(values, weights(400))
    half = 1.96 / 400**0.5
    assert figure.value == pytest.approx(values.mean())
    assert figure.low == pytest.approx(values.mean() - half, abs=0.02)
    assert figure.high == pytest.approx(values.mean() + half, abs=0.02)
    assert figure.people == 400


def test_a_paired_interval_is_narrower() -> None:
    rng = np.random.default_rng(1)
    easy = rng.normal(0, 1, 200)  # how hard a person is, shared by both predictors
    first, second = easy + 0.1 + rng.normal(0, 0.02, 200), easy
    paired = difference(first, second, weights(200))
    assert paired.low > 0
    alone = interval(first, weights(200))
    assert alone.high - alone.low > 10 * (paired.high - paired.low)


def test_users_without_a_value_are_left_out() -> None:
    figure = interval(torch.tensor([1.0, torch.nan, 3.0]), weights(3))
    assert (figure.value, figure.people) == (2.0, 2)


def test_equal_values_have_an_interval_of_width_0() -> None:
    figure = interval(np.full(37, 0.1), weights(37))
    assert figure.low == figure.value == figure.high == 0.1


def test_without_users_there_is_no_metric() -> None:
    assert interval(torch.tensor([torch.nan]), weights(1)) is None
