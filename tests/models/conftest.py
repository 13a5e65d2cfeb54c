"""A small space, and users whose ratings are random: for contracts and invariances, not for learning."""

from collections.abc import Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from prefprior.history import History, PreferenceBatch
from prefprior.models.model import PreferenceModel
from prefprior.models.module import PreferenceModule
from prefprior.models.objectives.distillation import AnswerLoss
from prefprior.models.objectives.objective import Objective
from prefprior.models.prior.denoiser import DenoiserSize
from prefprior.models.prior.network import PriorNetwork
from prefprior.models.prior.prior import Prior
from prefprior.models.retriever.cold_start import ColdStart
from prefprior.models.retriever.ensemble import Ensemble
from prefprior.models.retriever.item_identity import ItemIdentity
from prefprior.models.retriever.losses import ContrastiveLoss
from prefprior.models.retriever.retriever import Retriever
from prefprior.models.retriever.two_tower import TwoTower
from prefprior.models.scale import Standardize
from prefprior.predictor import Catalogue
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


def make_prior(space: Space, **changes: Any) -> Prior:
    sizes: dict[str, Any] = {"width": 32, "depth": 2, "heads": 4, "readouts": 4}
    torch.manual_seed(0)
    prior = Prior(space=space, denoiser=DenoiserSize(width=32, depth=2, heads=4), **(sizes | changes))
    # Output layers start at zero: a fresh prior would predict the same for everything, and hide every mistake.
    for layer in (prior.denoiser.leave, prior.denoiser.time_modulation):
        torch.nn.init.normal_(layer.weight, std=0.3)
    return prior.eval()


def make_retriever(
    space: Space, kind: str = "shared", *, scale: Standardize | None = None, loss: ContrastiveLoss | None = None,
    **changes: Any,
) -> Retriever:  # fmt: skip
    """ "shared", "own", "identity", "ensemble" (of shared), "identities" (an ensemble) or "cold" (of identities)."""
    parts = {"space": space, "scale": scale or Standardize(space=space), "token_width": 32, "dim": 8, "loss": loss}
    if kind in ("shared", "own"):
        return TwoTower(encoder=kind, **parts, **changes)
    if kind == "identity":
        return ItemIdentity(**parts, **({"frequencies": 16} | changes))
    if kind == "ensemble":
        return Ensemble(retriever=TwoTower(**parts, **changes), n=3)
    members = Ensemble(retriever=ItemIdentity(**parts, **({"frequencies": 16} | changes)), n=3)
    return members if kind == "identities" else ColdStart(retriever=members)


def make_model(
    space: Space, retriever: str | Retriever | None = "shared", *, prior: PriorNetwork | None = None, **changes: Any
) -> PreferenceModel:
    """A small prior with a retriever of the kind asked for; the default is the two-tower that shares the encoder."""
    prior = prior or make_prior(space, **changes)
    if isinstance(retriever, str):
        retriever = make_retriever(space, retriever, scale=prior.scale)
    return PreferenceModel(prior=prior, retriever=retriever).eval()


def make_module(
    model: PreferenceModel, objective: Objective, distillation: AnswerLoss | None = None
) -> PreferenceModule:
    return PreferenceModule(
        model=model, objective=objective, distillation=distillation, optimizer=partial(torch.optim.AdamW, lr=1e-3)
    )


def losses(
    model: PreferenceModel | PriorNetwork,
    objective: Objective,
    batch: PreferenceBatch,
    seed: int = 0,
    distillation: AnswerLoss | None = None,
) -> dict[str, Tensor]:
    """The loss terms of one training step; a prior alone is a model without a retriever."""
    model = PreferenceModel(prior=model) if isinstance(model, PriorNetwork) else model
    return make_module(model, objective, distillation).losses(batch, torch.Generator().manual_seed(seed))


def total(terms: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(terms.values())).sum()


def training_data(
    space: Space, embeddings_ND: Tensor, counts: Sequence[int] | Tensor, users: Sequence[str] = ()
) -> Any:
    """What components may ask of the data, without any."""
    ids = [str(i) for i in range(len(embeddings_ND))]
    return SimpleNamespace(
        catalogue=Catalogue(space, ids, embeddings_ND),
        item_counts=lambda: np.asarray(counts),
        users=lambda part: list(users),
        use_texts=lambda: None,
        has_choices=False,
    )


@pytest.fixture
def prior(space: Space) -> Prior:
    return make_prior(space)


@pytest.fixture
def model(space: Space) -> PreferenceModel:
    return make_model(space)
