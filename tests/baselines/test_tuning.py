import numpy as np
import pytest
import torch

from prefprior.baselines.tuning import mean_auc, quality
from prefprior.data.held_out import HeldOutUsers
from prefprior.ratings import RatingScale, RatingsTable
from tests.evaluation.tastes import Oracle, make_tastes


def test_where_people_dislike_it_is_the_auc():
    tastes = make_tastes()
    oracle = Oracle(tastes)
    assert quality(oracle.rank, tastes.people) == pytest.approx(1.0)
    assert quality(lambda h, c: -oracle.rank(h, c), tastes.people) == pytest.approx(0.0)


def test_where_all_are_likes_it_is_the_gain_of_their_place_among_what_was_not_seen():
    catalogue = make_tastes(items=20, rated=10).catalogue

    def likes(item):
        return RatingsTable(
            source="toy", scale=RatingScale(1, 1, 1, liked_only=True), users=np.array(["u"]),
            items=np.array(catalogue.ids), user_N=np.zeros(1, np.int32), item_N=np.array([item], np.int32),
            rating_N=np.ones(1, np.float32),
        )  # fmt: skip

    people = HeldOutUsers.of(likes(0), likes(3), catalogue)
    assert mean_auc(torch.zeros(1, 1), people) is None
    # Items by number: the seen one is out of the way, two are above the like.
    found = quality(lambda history, c: -torch.arange(20.0).repeat(len(history), 1), people)
    assert found == pytest.approx(1 / np.log2(4))
