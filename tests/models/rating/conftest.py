"""A small population whose ratings follow the model: item means from features, users' offsets and tastes."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from prefprior.data.histories.sequences import Sequences
from prefprior.data.scaling import PersonScale
from prefprior.predictor import Catalogue
from prefprior.ratings import RatingScale, RatingsTable
from prefprior.space import Space
from tests.models.conftest import DIM

USERS, ITEMS, EACH = 80, 120, 40
SCALE = RatingScale(low=-1, high=1, likes_from=0.1)


def ratings_of(space: Space, *, liked_only: bool = False, seed: int = 0) -> Any:
    """A stub of the data module, with the ratings and their ground truth."""
    draws = np.random.default_rng(seed)
    raw_ND = (draws.standard_normal((ITEMS, DIM)) * 3 + 1).astype(np.float32)
    unit_ND = space.directions(raw_ND)
    appeal_N = unit_ND @ draws.standard_normal(DIM) * 0.25 + draws.standard_normal(ITEMS) * 0.2
    taste_UD = draws.standard_normal((USERS, DIM)) * 0.4
    user_N = np.repeat(np.arange(USERS), EACH).astype(np.int32)
    item_N = np.concatenate([draws.permutation(ITEMS - 10)[:EACH] for _ in range(USERS)]).astype(np.int32)
    personal_N = (unit_ND[item_N] * taste_UD[user_N]).sum(1)
    rating_N = np.clip(appeal_N[item_N] + personal_N + draws.standard_normal(len(user_N)) * 0.15, -1, 1)
    scale = RatingScale(0, 1, 0, liked_only=True) if liked_only else SCALE
    table = RatingsTable(
        "test", scale, np.array([f"u{i}" for i in range(USERS)]), np.array([f"i{i}" for i in range(ITEMS)]),
        user_N, item_N, (np.ones(len(user_N)) if liked_only else rating_N).astype(np.float32),
    )  # fmt: skip
    return SimpleNamespace(
        catalogue=Catalogue(space, list(table.items), torch.from_numpy(raw_ND)),
        scale=PersonScale(scale, "scale", 1.0, 0.0, 1.0),
        part=lambda name: table,
        training_sequences=lambda most: Sequences.of(table).first_ratings(most),
        appeal_N=appeal_N,
        taste_UD=taste_UD,
        unit_ND=unit_ND,
    )


@pytest.fixture(scope="session")
def population(space: Space) -> Any:
    return ratings_of(space)
