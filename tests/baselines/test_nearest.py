"""prefprior/baselines/nearest.py: what is nearest to any of the likes."""

import pytest
import torch

from prefprior.baselines.nearest import NearestToLikes
from tests.baselines.conftest import fitted
from tests.evaluation.tastes import Tastes


@pytest.fixture(scope="module")
def sampled_Bn(tastes: Tastes) -> torch.Tensor:
    """Catalogue rows of six samples for each user."""
    nearest = fitted(NearestToLikes(k=3), tastes)
    samples_BnD = nearest.sample(tastes.people.history(), 6, torch.Generator().manual_seed(0))
    rows_Bn = torch.cdist(samples_BnD.flatten(0, 1), tastes.catalogue.embeddings_ND).argmin(1).unflatten(0, (24, 6))
    assert torch.equal(tastes.catalogue.embeddings_ND[rows_Bn], samples_BnD)
    return rows_Bn


def test_samples_are_unseen_pictures(sampled_Bn: torch.Tensor, tastes: Tastes) -> None:
    for rows_n, seen_K in zip(sampled_Bn.tolist(), tastes.people.history().items_BK.tolist(), strict=True):
        assert not set(rows_n) & set(seen_K)


def test_samples_are_closer_to_likes_than_most_pictures(sampled_Bn: torch.Tensor, tastes: Tastes) -> None:
    scores_BN = fitted(NearestToLikes(), tastes).rank(tastes.people.history(), tastes.catalogue)
    assert (scores_BN.gather(1, sampled_Bn) > scores_BN.median(1, keepdim=True).values).float().mean() > 0.9


def test_a_like_is_nearest_to_itself(tastes: Tastes) -> None:
    history = tastes.people.history()
    scores_BN = fitted(NearestToLikes(), tastes).rank(history, tastes.catalogue)
    own_BK = scores_BN.gather(1, history.items_BK.clamp_min(0))
    assert torch.allclose(own_BK[history.liked_BK], torch.ones(()), atol=1e-5)


def test_a_k_of_0_is_refused() -> None:
    with pytest.raises(ValueError, match="k must be at least 1"):
        NearestToLikes(k=0)
