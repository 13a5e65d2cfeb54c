"""prefprior/baselines/sequential.py: next likes from the order of a history."""

import pytest
import torch

from prefprior.baselines.sequential import Sequential
from prefprior.evaluation.metrics.rating import auc
from prefprior.evaluation.metrics.scoring import score
from tests.baselines.conftest import emptied, fitted
from tests.evaluation.tastes import Tastes, make_tastes


@pytest.fixture(scope="module")
def many() -> Tastes:
    return make_tastes(users=100, items=200, rated=40, dim=4)


@pytest.fixture(scope="module")
def sequential(many: Tastes) -> Sequential:
    return fitted(
        Sequential(
            width=32, depth=1, steps=200, batch_size=32, length=24, sampled=128, learning_rate=3e-3, dropout=0.0
        ),
        many,
    )


def test_it_learns_tastes_from_histories(sequential: Sequential, many: Tastes) -> None:
    scored, held_out = score(sequential, many.people), many.people
    assert float(auc(scored.score_BT, held_out.held_liked_BT, held_out.held_disliked_BT).nanmean()) > 0.65


def test_an_empty_history_scores_all_items_alike(sequential: Sequential, many: Tastes) -> None:
    assert not sequential.rank(emptied(many.people.history(5)), many.catalogue).any()


def test_scores_do_not_depend_on_the_order_of_storage(sequential: Sequential, many: Tastes) -> None:
    history = many.people.history(5)
    backwards_BK = torch.arange(history.valid_BK.shape[1] - 1, -1, -1).expand(len(history), -1)
    scores_BN = sequential.rank(history, many.catalogue)
    assert torch.allclose(sequential.rank(history.gather(backwards_BK), many.catalogue), scores_BN, atol=1e-5)


def test_a_width_that_is_not_divisible_by_heads_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of heads"):
        Sequential(width=10, heads=3)


def test_ranking_before_fit_is_an_error(tastes: Tastes) -> None:
    with pytest.raises(ValueError, match="must be fit before"):
        Sequential().rank(tastes.people.history(), tastes.catalogue)
