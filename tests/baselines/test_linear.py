"""prefprior/baselines/linear.py: a direction for each user, of their own history alone."""

import pytest
import torch

from prefprior.baselines.linear import METHODS, PersonalDirection
from tests.baselines.conftest import fitted
from tests.evaluation.tastes import Tastes


@pytest.mark.parametrize("method", METHODS)
def test_likes_alone_give_a_direction_towards_them(method: str, tastes: Tastes) -> None:
    predictor, history = fitted(PersonalDirection(method=method), tastes), tastes.people.history()
    history.valid_BK &= history.ratings_BK > 0
    scores_BN = predictor.rank(history, tastes.catalogue)
    rated_BK = scores_BN.gather(1, history.items_BK.clamp_min(0))
    liked = rated_BK.masked_fill(~history.valid_BK, torch.nan).nanmean(1)
    assert (liked > scores_BN.mean(1)).float().mean() > 0.9


@pytest.mark.parametrize("method", METHODS)
def test_dislikes_alone_give_a_direction_away_from_them(method: str, tastes: Tastes) -> None:
    predictor, history = fitted(PersonalDirection(method=method), tastes), tastes.people.history()
    history.valid_BK &= history.ratings_BK < 0
    scores_BN = predictor.rank(history, tastes.catalogue)
    rated_BK = scores_BN.gather(1, history.items_BK.clamp_min(0))
    disliked = rated_BK.masked_fill(~history.valid_BK, torch.nan).nanmean(1)
    assert (disliked < scores_BN.mean(1)).float().mean() > 0.9


def test_an_unknown_method_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="did you mean svm"):
        PersonalDirection(method="svn")


def test_a_strength_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="strength and others must be above 0"):
        PersonalDirection(method="ridge", strength=0)
