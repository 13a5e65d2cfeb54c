"""prefprior/baselines/user_diffusion.py: users are known by id, and by nothing else."""

import pytest
import torch

from prefprior.baselines.user_diffusion import UserDiffusion
from prefprior.evaluation.metrics.personalisation import PersonalGap, personal_gap
from prefprior.history import History
from tests.baselines.conftest import fitted
from tests.evaluation.tastes import Tastes, make_tastes


@pytest.fixture(scope="module")
def many() -> Tastes:
    return make_tastes(users=100, items=200, rated=40, dim=4)


@pytest.fixture(scope="module")
def by_id(many: Tastes) -> UserDiffusion:
    return fitted(UserDiffusion(width=48, depth=2, steps=400, batch_size=256, learning_rate=3e-3), many)


def gap(by_id: UserDiffusion, history: History, many: Tastes) -> PersonalGap:
    """How personal eight samples for each user are."""
    found = personal_gap(by_id.sample(history, 8, torch.Generator().manual_seed(0)), many.people)
    assert found is not None
    return found


def test_samples_for_training_users_are_personal(by_id: UserDiffusion, many: Tastes) -> None:
    assert gap(by_id, many.people.history(), many).p_value < 0.05


def test_samples_for_other_users_are_not_personal(by_id: UserDiffusion, many: Tastes) -> None:
    strangers = many.people.history()
    strangers.users = [f"stranger {i}" for i in range(100)]
    assert gap(by_id, strangers, many).gap < 0.5 * gap(by_id, many.people.history(), many).gap


def test_ratings_have_no_effect(by_id: UserDiffusion, many: Tastes) -> None:
    history = many.people.history()
    before = by_id.sample(history, 2, torch.Generator().manual_seed(0))
    history.ratings_BK.neg_()
    assert torch.equal(by_id.sample(history, 2, torch.Generator().manual_seed(0)), before)


def test_sampling_before_fit_is_an_error(many: Tastes) -> None:
    with pytest.raises(ValueError, match="must be fit before"):
        UserDiffusion().sample(many.people.history(), 1, torch.Generator())
