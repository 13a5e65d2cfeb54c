"""Users who like items of their own group alone, which the embeddings of half of the items show."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from prefprior.data.histories.sequences import Sequences
from prefprior.data.scaling import PersonScale
from prefprior.history import History
from prefprior.predictor import Catalogue
from prefprior.ratings import RatingScale, RatingsTable
from prefprior.space import Space
from tests.models.conftest import DIM

GROUPS, USERS, ITEMS, NEW, EACH = 4, 120, 80, 8, 8  # NEW items at the end are liked by nobody
SCALE = RatingScale(low=-1, high=1, likes_from=0.1)


def population_of(space: Space, seed: int = 0) -> Any:
    """What a component may ask of the data; every user also dislikes a few items of other groups."""
    draws = np.random.default_rng(seed)
    group_I = np.arange(ITEMS) % GROUPS
    raw_ID = draws.standard_normal((ITEMS, DIM)).astype(np.float32)
    raw_ID += 6 * np.eye(DIM, dtype=np.float32)[group_I]
    user_N, item_N, rating_N = [], [], []
    for user in range(USERS):
        own = np.flatnonzero(group_I[: ITEMS - NEW] == user % GROUPS)
        other = np.flatnonzero(group_I[: ITEMS - NEW] != user % GROUPS)
        items = np.concatenate([draws.permutation(own)[:EACH], draws.permutation(other)[:3]])
        user_N += [user] * len(items)
        item_N += items.tolist()
        rating_N += [1.0] * EACH + [-1.0] * 3
    table = RatingsTable(
        "test", SCALE, np.array([f"u{i}" for i in range(USERS)]), np.array([f"i{i}" for i in range(ITEMS)]),
        np.array(user_N, dtype=np.int32), np.array(item_N, dtype=np.int32), np.array(rating_N, dtype=np.float32),
    )  # fmt: skip
    return SimpleNamespace(
        catalogue=Catalogue(space, list(table.items), torch.from_numpy(raw_ID)),
        scale=PersonScale(SCALE, "scale", 1.0, 0.0, 1.0),
        training_sequences=lambda most: Sequences.of(table).first_ratings(most),
        item_counts=lambda: np.bincount(item_N, minlength=ITEMS),
        group_I=group_I,
    )


def history_of(population: Any, items: list[list[int]], ratings: list[list[float]]) -> History:
    """Histories of rows of the catalogue, all of one length."""
    return History.from_rows(
        population.catalogue.embeddings_ND,
        torch.tensor(items),
        torch.tensor(ratings),
        [f"s{i}" for i in range(len(items))],
    )


@pytest.fixture(scope="session")
def population(space: Space) -> Any:
    return population_of(space)
