"""prefprior/baselines/tuning.py: by what figure a baseline chooses its settings."""

import numpy as np
import pytest
import torch

from prefprior.baselines.tuning import mean_auc, quality
from prefprior.data.held_out import HeldOutUsers
from prefprior.predictor import Catalogue
from prefprior.ratings import RatingScale, RatingsTable
from tests.evaluation.tastes import Oracle, Tastes, make_tastes


@pytest.mark.parametrize(("sign", "expected"), [(1, 1.0), (-1, 0.0)])
def test_with_dislikes_tuning_maximises_the_auc(sign: int, expected: float, tastes: Tastes) -> None:
    oracle = Oracle(tastes)
    found = quality(lambda history, catalogue: sign * oracle.rank(history, catalogue), tastes.people)
    assert found == pytest.approx(expected)


@pytest.fixture(scope="module")
def one_like() -> HeldOutUsers:
    """A user who has liked the first of 20 items, with a like of the fourth held out."""
    catalogue = make_tastes(items=20, rated=10).catalogue
    return HeldOutUsers.of(like(0, catalogue), like(3, catalogue), catalogue)


def like(item: int, catalogue: Catalogue) -> RatingsTable:
    return RatingsTable(
        source="toy", scale=RatingScale(1, 1, 1, liked_only=True), users=np.array(["u"]),
        items=np.array(catalogue.ids), user_N=np.zeros(1, np.int32), item_N=np.array([item], np.int32),
        rating_N=np.ones(1, np.float32),
    )  # fmt: skip


def test_without_dislikes_there_is_no_auc(one_like: HeldOutUsers) -> None:
    assert mean_auc(torch.zeros(1, 1), one_like) is None


def test_without_dislikes_tuning_maximises_the_rank_of_likes_among_unseen_items(one_like: HeldOutUsers) -> None:
    # Items by number: the seen one is out of the way, two are above the like.
    found = quality(lambda history, _: -torch.arange(20.0).repeat(len(history), 1), one_like)
    assert found == pytest.approx(1 / np.log2(4))
