"""Known tastes to fit baselines on, and histories with more padding."""

from typing import TypeVar

import pytest
import torch

from prefprior.history import History
from prefprior.predictor import Predictor
from tests.evaluation.tastes import Tastes, make_tastes

P = TypeVar("P", bound=Predictor)


@pytest.fixture(scope="package")
def tastes() -> Tastes:
    """24 users with 18 ratings each of 200 items."""
    return make_tastes()


def fitted(predictor: P, tastes: Tastes) -> P:
    """A predictor that has learned from the training part."""
    predictor.fit(tastes.training, None, torch.Generator().manual_seed(0))
    return predictor


def padded(history: History) -> History:
    """The same history with two more places, which hold nonsense."""
    users, dim = len(history), history.embeddings_BKD.shape[2]
    more = History(
        embeddings_BKD=torch.full((users, 2, dim), 9.0),
        ratings_BK=torch.ones(users, 2),
        ages_BK=torch.ones(users, 2),
        valid_BK=torch.zeros(users, 2, dtype=torch.bool),
        items_BK=torch.full((users, 2), -1),
        users=history.users,
    )
    names = ("embeddings_BKD", "ratings_BK", "ages_BK", "valid_BK", "items_BK")
    columns = {name: torch.cat([getattr(history, name), getattr(more, name)], dim=1) for name in names}
    return History(**columns, users=history.users)


def emptied(history: History) -> History:
    """Histories of as many places with nothing in them."""
    rows_BK = torch.full_like(history.items_BK, -1)
    return History.from_rows(
        torch.zeros(1, history.embeddings_BKD.shape[2]), rows_BK, history.ratings_BK, history.users
    )
