"""A small space, and people whose ratings are random: for contracts and invariances, not for learning."""

import numpy as np
import pytest
import torch

from prefprior.history import History, PreferenceBatch
from prefprior.models.prior.prior import Prior
from prefprior.space import Space

DIM = 12


@pytest.fixture(scope="session")
def space() -> Space:
    rng = np.random.default_rng(0)
    return Space.measure("test/space", rng.standard_normal((200, DIM)).astype(np.float32) * 3 + 1)


def make_history(users: int, length: int, seed: int = 0) -> History:
    g = torch.Generator().manual_seed(seed)
    valid = torch.rand(users, length, generator=g) < 0.7
    valid[:, 0] = True
    return History(
        embeddings_BKD=torch.randn(users, length, DIM, generator=g) * 3 + 1,
        ratings_BK=torch.rand(users, length, generator=g) * 2 - 1,
        ages_BK=torch.arange(length).float().expand(users, -1).clone(),
        valid_BK=valid,
        items_BK=torch.where(valid, torch.randint(50, (users, length), generator=g), -1),
        users=[f"u{i}" for i in range(users)],
    )


def make_batch(users: int = 5, length: int = 9, targets: int = 3, seed: int = 0) -> PreferenceBatch:
    g = torch.Generator().manual_seed(seed + 1)
    valid = torch.rand(users, targets, generator=g) < 0.8
    valid[:, 0] = True
    return PreferenceBatch(
        history=make_history(users, length, seed),
        target_BTD=torch.randn(users, targets, DIM, generator=g) * 3 + 1,
        target_rating_BT=torch.where(valid, torch.rand(users, targets, generator=g) * 2 - 1, 0),
        target_valid_BT=valid,
        target_item_BT=torch.where(valid, torch.randint(50, (users, targets), generator=g), -1),
        target_text_BTD=torch.zeros(users, targets, 0),
    )


def make_prior(space: Space, **changes: object) -> Prior:
    sizes = {"width": 32, "depth": 2, "heads": 4, "denoiser_width": 32, "denoiser_depth": 2, "denoiser_heads": 4}
    torch.manual_seed(0)
    prior = Prior(space=space, **(sizes | {"interests": 3, "score_dim": 8} | changes))
    # Output layers start at zero: a fresh prior would say the same of everything, and hide every mistake.
    for layer in (prior.denoiser.leave, prior.denoiser.time_modulation):
        torch.nn.init.normal_(layer.weight, std=0.3)
    return prior.eval()


@pytest.fixture
def prior(space: Space) -> Prior:
    return make_prior(space)
