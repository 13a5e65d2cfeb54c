"""prefprior/baselines/random.py: scores that say nothing, and always the same nothing."""

import torch

from prefprior.baselines.random import RandomPredictor
from tests.baselines.conftest import fitted
from tests.evaluation.tastes import Tastes


def test_users_have_different_scores(tastes: Tastes) -> None:
    scores_BN = fitted(RandomPredictor(), tastes).rank(tastes.people.history(), tastes.catalogue)
    assert len(scores_BN.unique(dim=0)) == len(scores_BN)


def test_scores_are_repeatable(tastes: Tastes) -> None:
    predictor, history = fitted(RandomPredictor(), tastes), tastes.people.history()
    assert torch.equal(predictor.rank(history, tastes.catalogue), predictor.rank(history, tastes.catalogue))


def test_ratings_have_no_effect(tastes: Tastes) -> None:
    predictor, history = fitted(RandomPredictor(), tastes), tastes.people.history()
    before_BN = predictor.rank(history, tastes.catalogue)
    history.ratings_BK.neg_()
    assert torch.equal(predictor.rank(history, tastes.catalogue), before_BN)
