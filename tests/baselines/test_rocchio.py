"""prefprior/baselines/rocchio.py: how much dislikes count is chosen on users."""

import pytest

from prefprior.baselines.rocchio import Rocchio
from tests.baselines.conftest import fitted
from tests.evaluation.tastes import Tastes


def test_dislikes_are_used_if_they_help(tastes: Tastes) -> None:
    assert fitted(Rocchio(), tastes).weight > 0


def test_with_weight_0_it_is_the_mean_of_likes(tastes: Tastes) -> None:
    history = tastes.people.history()
    predictor = fitted(Rocchio(weights=(0.0,)), tastes)
    query_BD = predictor.query(history)
    history.valid_BK &= history.ratings_BK > 0
    assert predictor.query(history).allclose(query_BD, atol=1e-6)


def test_negative_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 0"):
        Rocchio(weights=(-1.0,))
