"""prefprior/baselines/blend.py: a cosine plus popularity, which of it by what is asked."""

import pytest
import torch

from prefprior.baselines.blend import Blend
from prefprior.baselines.mean import MeanOfLikes
from prefprior.baselines.popularity import Popularity
from prefprior.predictor import By
from tests.baselines.conftest import fitted
from tests.baselines.likes import make_clusters
from tests.evaluation.tastes import Tastes


@pytest.mark.parametrize(("by", "count", "rating"), [("interaction", 1, 0), ("rating", 0, 1), ("both", 1, 1)])
def test_it_is_the_cosine_plus_what_is_asked_for(by: By, count: int, rating: int, tastes: Tastes) -> None:
    history, catalogue = tastes.people.history(), tastes.catalogue
    cosine_BN = fitted(MeanOfLikes(), tastes).rank(history, catalogue)
    popularity = fitted(Popularity(), tastes)
    found_BN = fitted(Blend(weight=0.3, rating_weight=0.7), tastes).rank(history, catalogue, by)
    expected_BN = cosine_BN + 0.3 * count * popularity.popularity(catalogue, "interaction")
    expected_BN += 0.7 * rating * popularity.popularity(catalogue, "rating")
    torch.testing.assert_close(found_BN, expected_BN)


def test_where_all_are_likes_there_is_one_score() -> None:
    clusters, blend = make_clusters(), Blend()
    blend.fit(clusters.training, None, torch.Generator().manual_seed(0))
    history, catalogue = clusters.people.history(), clusters.people.catalogue
    assert not blend.two_scores
    assert torch.equal(blend.rank(history, catalogue, "rating"), blend.rank(history, catalogue))


def test_weights_below_0_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 0"):
        Blend(weight=-1.0)
