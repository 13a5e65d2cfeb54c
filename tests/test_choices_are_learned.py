"""Does training learn from choices? On a world of users who only ever pick the best of four random items."""

import numpy as np
import pytest
import torch

from prefprior.data.held_out import HeldOutUsers
from prefprior.evaluation.protocol.controls import permuted_ratings
from prefprior.evaluation.protocol.split import HistoryCut, select
from prefprior.inference.predictor import TrainedPredictor
from prefprior.models.prior.prior import Prior
from prefprior.ratings import RatingsTable
from tests.test_taste_is_learned import EACH, USERS, TwoTastes, data_of, trained_on, utility

SHOWN = 4


class Choosing(TwoTastes):
    """Users of two tastes, who are shown four items at a time and pick the one they like best."""

    name = "choosing"

    def ratings(self) -> RatingsTable:
        shown_ND = self.items_ND[self.item_N]
        unit_ND = shown_ND / np.linalg.norm(shown_ND, axis=1, keepdims=True)
        best_N = np.einsum("nd,ntd->nt", unit_ND, self.likes_B2D[self.user_N]).max(1).reshape(-1, SHOWN)
        picked_N = (best_N == best_N.max(1, keepdims=True)).ravel()
        table = super().ratings()
        question_N = np.tile(np.arange(EACH) // SHOWN, USERS)
        columns = {name: getattr(table, name) for name in ("source", "scale", "users", "items", "user_N", "item_N")}
        time_N = np.repeat(np.arange(USERS * EACH // SHOWN, dtype=np.float64), SHOWN)
        return RatingsTable(
            **columns, rating_N=picked_N.astype(np.float32), time_N=time_N, question_N=question_N.astype(np.int64)
        )


@pytest.fixture(scope="module")
def world() -> Choosing:
    return Choosing()


@pytest.fixture(scope="module")
def trained(world: Choosing) -> tuple[TrainedPredictor, HeldOutUsers]:
    """A small generator, and users who are in no training."""
    data = data_of(world)
    predictor = trained_on(data)
    return predictor, select(data, "unseen", HistoryCut(), 512)[1]


def test_a_prior_trained_on_choices_uses_what_was_picked(
    trained: tuple[TrainedPredictor, HeldOutUsers], world: Choosing
) -> None:
    predictor, people = trained
    permuted = permuted_ratings(people, torch.Generator().manual_seed(0))
    own, other = (utility(predictor, each, world).mean() for each in (people, permuted))
    assert own > 0.6
    assert own > other + 0.15


def test_the_contrast_is_what_was_learned_from(trained: tuple[TrainedPredictor, HeldOutUsers]) -> None:
    prior = trained[0].model.prior
    assert isinstance(prior, Prior)
    choices = prior.encoder.choices
    assert choices.contrast_WD.any()
    assert choices.belongs_W.any()
