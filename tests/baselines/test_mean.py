"""prefprior/baselines/mean.py: the mean of likes, as one point."""

import torch

from prefprior.baselines.mean import MeanOfLikes
from tests.baselines.conftest import fitted
from tests.evaluation.tastes import Tastes


def test_all_samples_are_one_point(tastes: Tastes) -> None:
    samples_BnD = fitted(MeanOfLikes(), tastes).sample(tastes.people.history(), 2, torch.Generator())
    assert torch.equal(samples_BnD[:, 0], samples_BnD[:, 1])


def test_samples_have_the_norm_of_pictures(tastes: Tastes) -> None:
    samples_BnD = fitted(MeanOfLikes(), tastes).sample(tastes.people.history(), 1, torch.Generator())
    assert torch.allclose(samples_BnD.norm(dim=-1), torch.tensor(tastes.catalogue.space.norm), rtol=1e-4)


def test_dislikes_are_ignored(tastes: Tastes) -> None:
    predictor, history = fitted(MeanOfLikes(), tastes), tastes.people.history()
    query_BD = predictor.query(history)
    history.valid_BK &= history.ratings_BK > 0
    assert torch.allclose(predictor.query(history), query_BD, atol=1e-6)
