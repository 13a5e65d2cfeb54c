"""prefprior/data/scaling.py: ratings of different people compare."""

from dataclasses import replace

import numpy as np
import pytest

from prefprior.data.scaling import PersonScale, RatingScaling
from prefprior.ratings import RatingScale
from tests.data.small import ratings

NONE = np.zeros((1, 0)), np.zeros((1, 0), dtype=bool)  # an empty history


def scale(how: str = "person") -> PersonScale:
    return PersonScale(RatingScale(1, 5, 4), how, 5.0, 3.0, 1.0)


def test_harsh_and_lenient_users_are_scaled_alike() -> None:
    harsh, kind = np.tile([1.0, 2.0, 3.0], 20)[None], np.tile([3.0, 4.0, 5.0], 20)[None]
    valid = np.ones(harsh.shape, dtype=bool)
    assert scale().signed(harsh, harsh, valid) == pytest.approx(scale().signed(kind, kind, valid), abs=0.1)


def test_scaling_by_scale_ignores_users() -> None:
    harsh = np.tile([1.0, 2.0, 3.0], 20)[None]
    assert scale("scale").signed(harsh, harsh, np.ones(harsh.shape, dtype=bool)).max() == 0


def test_a_target_does_not_change_its_scale() -> None:
    history, valid = np.array([[4.0, 2.0]]), np.ones((1, 2), dtype=bool)
    alone = scale().signed(np.array([[5.0]]), history, valid)
    among = scale().signed(np.array([[5.0, 1.0, 1.0]]), history, valid)
    assert alone[0, 0] == among[0, 0]


def test_padding_does_not_change_a_scale() -> None:
    target = np.array([[5.0]])
    padded = scale().signed(target, np.array([[4.0, 2.0, 0.0]]), np.array([[True, True, False]]))
    assert padded[0, 0] == scale().signed(target, np.array([[4.0, 2.0]]), np.ones((1, 2), dtype=bool))[0, 0]


def test_without_a_history_the_population_scale_is_used() -> None:
    signed = scale().signed(np.array([[1.0, 2.0, 3.0, 4.0, 5.0]]), *NONE)[0]
    assert signed.tolist() == pytest.approx([-1, -0.5, 0, 0.5, 1])


def test_binary_ratings_are_scaled_to_minus_1_and_1() -> None:
    binary = PersonScale(RatingScale(0, 1, 1), "person", 5.0, 0.5, 0.5)
    assert binary.signed(np.array([[0.0, 1.0]]), *NONE)[0].tolist() == pytest.approx([-1, 1])


def test_equal_ratings_of_all_users_are_scaled_to_0() -> None:
    table = ratings()
    fitted = RatingScaling().fit(replace(table, rating_N=np.full(len(table), 3.0, dtype=np.float32)))
    assert fitted.signed(np.array([[3.0]]), np.array([[3.0]]), np.array([[True]])) == 0


def test_a_scale_is_measured_on_training_ratings() -> None:
    table = ratings()
    fitted = RatingScaling().fit(table)
    assert (fitted.centre, fitted.std) == pytest.approx((table.rating_N.mean(), table.rating_N.std()), rel=1e-5)


def test_a_scale_without_ratings_is_refused() -> None:
    with pytest.raises(ValueError, match="no training ratings"):
        RatingScaling().fit(ratings().take(np.arange(0)))


def test_a_weight_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        RatingScaling(weight=0)
