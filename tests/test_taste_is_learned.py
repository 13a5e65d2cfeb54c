"""Does training learn taste? On a world where taste is known, and where there is none to be learned.

Items are directions of the plane. Each user likes what lies near one of two directions, 120 degrees apart: half way
between them, where the mean of both kinds of likes points, is nothing they like. Items are shown at random, so that
only the ratings tell anything about a user.

Shapes: B users, N ratings or items, n samples, D dimension.
"""

from functools import partial

import lightning
import numpy as np
import pytest
import torch

from prefprior.baselines.mean import MeanOfLikes
from prefprior.data.datamodule import PreferenceDataModule
from prefprior.data.embedding.table import EmbeddingTable
from prefprior.data.held_out import HeldOutUsers
from prefprior.data.histories.draws import DrawRule
from prefprior.data.splits import Splits
from prefprior.evaluation.protocol.bootstrap import Figure, difference, interval, weights
from prefprior.evaluation.protocol.controls import permuted_ratings
from prefprior.evaluation.protocol.split import HistoryCut, fitting_parts, select
from prefprior.inference.predictor import TrainedPredictor
from prefprior.models.diffusion.sampler import Sampler
from prefprior.models.diffusion.solvers import OneStep
from prefprior.models.model import PreferenceModel
from prefprior.models.module import PreferenceModule
from prefprior.models.objectives.regression import Regression
from prefprior.models.prior.denoiser import DenoiserSize
from prefprior.models.prior.prior import Prior
from prefprior.predictor import Predictor
from prefprior.ratings import RatingScale, RatingsTable

USERS, ITEMS, EACH = 400, 500, 40
APART = 2 * np.pi / 3
NEAR = 0.8  # the least cosine at which an item is liked: two fifths of all items
STEPS = 360  # two fifths more than it takes until histories are read, with any of three seeds


class TwoTastes:
    """Users, each with two directions that they like, and what they rated."""

    name = "two-tastes"

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.items_ND = rng.normal(size=(ITEMS, 2)).astype(np.float32)
        angle_B = rng.uniform(0, 2 * np.pi, USERS)
        self.likes_B2D = np.stack([_direction(angle_B), _direction(angle_B + APART)], axis=1)
        self.item_N = np.concatenate([rng.choice(ITEMS, EACH, replace=False) for _ in range(USERS)])
        self.user_N = np.repeat(np.arange(USERS), EACH)
        shown = self.items_ND[self.item_N].reshape(USERS, EACH, 2)
        self.liked_N = np.concatenate([self.likes(f"u{user}", shown[user]) for user in range(USERS)])

    def likes(self, user: str, raw_ND: np.ndarray) -> np.ndarray:
        """(N,) whether a user likes what has these embeddings."""
        unit_ND = raw_ND / np.linalg.norm(raw_ND, axis=1, keepdims=True)
        return (unit_ND @ self.likes_B2D[int(user[1:])].T).max(1) > NEAR

    def ratings(self) -> RatingsTable:
        return RatingsTable(
            source=self.name,
            scale=RatingScale(0, 1, 1),
            users=np.array([f"u{user}" for user in range(USERS)]),
            items=np.array(self._ids),
            user_N=self.user_N.astype(np.int32),
            item_N=self.item_N.astype(np.int32),
            rating_N=self.liked_N.astype(np.float32),
            time_N=np.arange(USERS * EACH, dtype=np.float64),
        )

    def pictures(self) -> None:
        return None

    def embeddings(self) -> EmbeddingTable:
        return EmbeddingTable.of("plane", self._ids, self.items_ND)

    @property
    def _ids(self) -> list[str]:
        return [f"i{item}" for item in range(ITEMS)]


class Permuted(TwoTastes):
    """The same users and items, with all ratings permuted among users and items."""

    def __init__(self) -> None:
        super().__init__()
        self.liked_N = np.random.default_rng(1).permutation(self.liked_N)


def _direction(angle_B: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(angle_B), np.sin(angle_B)], axis=-1)


def data_of(source: TwoTastes) -> PreferenceDataModule:
    splits = Splits(by="user", val=0.05, test=0.25)
    return PreferenceDataModule(
        source=source,
        splits=splits,
        draws=DrawRule(history_cap=20, targets_per_user=6),
        batch_size=64,
        epoch_batches=STEPS,
    )


def trained_on(data: PreferenceDataModule) -> TrainedPredictor:
    """A small generator without a retriever: samples are all it has learned."""
    data.setup()
    torch.manual_seed(0)
    prior = Prior(
        space=data.space, width=48, depth=1, heads=4, denoiser=DenoiserSize(width=48, depth=1, heads=4)
    )  # fmt: skip
    objective = Regression()
    module = PreferenceModule(
        model=PreferenceModel(prior=prior), objective=objective, optimizer=partial(torch.optim.AdamW, lr=4e-3)
    )
    module.prepare(data)
    trainer = lightning.Trainer(
        accelerator="cpu", devices=1, max_epochs=1, limit_val_batches=0, gradient_clip_val=1.0, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, datamodule=data)
    return TrainedPredictor(model=module.model, objective=objective, sampler=Sampler(solver=OneStep(), candidates=1))


@pytest.fixture(scope="module")
def world() -> TwoTastes:
    return TwoTastes()


@pytest.fixture(scope="module")
def data(world: TwoTastes) -> PreferenceDataModule:
    return data_of(world)


@pytest.fixture(scope="module")
def people(data: PreferenceDataModule) -> HeldOutUsers:
    """A hundred users who are in no training."""
    return select(data, "unseen", HistoryCut(), 512)[1]


@pytest.fixture(scope="module")
def prior(data: PreferenceDataModule) -> TrainedPredictor:
    return trained_on(data)


@pytest.fixture(scope="module")
def mean(data: PreferenceDataModule) -> MeanOfLikes:
    baseline = MeanOfLikes()
    baseline.fit(*fitting_parts(data, "unseen"), torch.Generator())
    return baseline


def utility(predictor: Predictor, people: HeldOutUsers, world: TwoTastes) -> np.ndarray:
    """(B,) the share of a predictor's samples that each user would like."""
    samples_BnD = predictor.sample(people.history(), 8, torch.Generator().manual_seed(0)).numpy()
    return np.array([world.likes(user, raw_nD).mean() for user, raw_nD in zip(people.users, samples_BnD, strict=True)])


def lead(prior: Predictor, mean: Predictor, people: HeldOutUsers, world: TwoTastes) -> Figure:
    """How far the prior is ahead of the mean of likes, user by user."""
    found = difference(utility(prior, people, world), utility(mean, people, world), weights(len(people)))
    assert found is not None
    return found


def test_a_trained_prior_beats_the_mean_of_likes(
    prior: TrainedPredictor, mean: MeanOfLikes, people: HeldOutUsers, world: TwoTastes
) -> None:
    assert lead(prior, mean, people, world).low > 0


def test_with_permuted_histories_it_does_not(
    prior: TrainedPredictor, mean: MeanOfLikes, people: HeldOutUsers, world: TwoTastes
) -> None:
    permuted = permuted_ratings(people, torch.Generator().manual_seed(0))
    assert lead(prior, mean, permuted, world).low <= 0


def test_trained_on_permuted_ratings_it_is_no_better_than_random_items(
    mean: MeanOfLikes, people: HeldOutUsers, world: TwoTastes
) -> None:
    untaught = trained_on(data_of(Permuted()))
    assert lead(untaught, mean, people, world).high < 0
    share = interval(utility(untaught, people, world), weights(len(people)))
    assert share is not None
    assert share.low < world.liked_N.mean() < share.high
