"""Every baseline keeps the protocol of predictors, whatever it is made of."""

from collections.abc import Callable

import pytest
import torch

from prefprior.baselines.blend import Blend
from prefprior.baselines.ease import Ease
from prefprior.baselines.ials import Ials
from prefprior.baselines.linear import METHODS, PersonalDirection
from prefprior.baselines.mean import MeanOfLikes
from prefprior.baselines.nearest import NearestToLikes
from prefprior.baselines.popularity import Popularity
from prefprior.baselines.random import RandomPredictor
from prefprior.baselines.rocchio import Rocchio
from prefprior.baselines.sequential import Sequential
from prefprior.baselines.user_diffusion import UserDiffusion
from prefprior.baselines.wals import Wals
from prefprior.evaluation.metrics.rating import auc
from prefprior.evaluation.metrics.scoring import score
from prefprior.predictor import Predictor
from tests.baselines.conftest import emptied, fitted, padded
from tests.evaluation.tastes import Tastes

PERSONAL: dict[str, Callable[[], Predictor]] = {
    "mean": MeanOfLikes,
    "nearest": NearestToLikes,
    "rocchio": Rocchio,
    **{method: lambda method=method: PersonalDirection(method=method) for method in METHODS},  # type: ignore[misc]
    "wals": lambda: Wals(zeros=0.0),
}
ALL: dict[str, Callable[[], Predictor]] = {
    **PERSONAL,
    "blend": Blend,
    "ease": Ease,
    "ials": Ials,
    "popularity": lambda: Popularity(pool=16),
    "random": RandomPredictor,
    "sequential": lambda: Sequential(width=16, depth=1, steps=5, length=24, sampled=64),
    "user_diffusion": lambda: UserDiffusion(width=16, depth=1, steps=5),
}


@pytest.fixture(scope="module", params=list(ALL))
def predictor(request: pytest.FixtureRequest, tastes: Tastes) -> Predictor:
    return fitted(ALL[request.param](), tastes)


def test_it_is_a_predictor(predictor: Predictor) -> None:
    assert isinstance(predictor, Predictor)


def test_samples_are_finite_embeddings(predictor: Predictor, tastes: Tastes) -> None:
    samples_BnD = predictor.sample(tastes.people.history(), 3, torch.Generator().manual_seed(0))
    assert samples_BnD.shape == (24, 3, 8)
    assert samples_BnD.isfinite().all()


def test_samples_come_from_the_generator(predictor: Predictor, tastes: Tastes) -> None:
    one, other = (predictor.sample(tastes.people.history(), 3, torch.Generator().manual_seed(0)) for _ in range(2))
    assert torch.equal(one, other)


def test_each_item_of_a_catalogue_has_a_finite_score(predictor: Predictor, tastes: Tastes) -> None:
    scores_BN = predictor.rank(tastes.people.history(), tastes.catalogue)
    assert scores_BN.shape == (24, 200)
    assert scores_BN.isfinite().all()


def test_padding_has_no_effect(predictor: Predictor, tastes: Tastes) -> None:
    history = tastes.people.history(5)
    scores_BN = predictor.rank(history, tastes.catalogue)
    assert torch.allclose(scores_BN, predictor.rank(padded(history), tastes.catalogue), atol=1e-4)


# Diffusion ranks by samples whose noise is drawn for all users at once.
@pytest.mark.parametrize("predictor", [name for name in ALL if name != "user_diffusion"], indirect=True)
def test_scores_do_not_depend_on_other_users(predictor: Predictor, tastes: Tastes) -> None:
    history = tastes.people.history(5)
    alone_1N = predictor.rank(history.take([3]), tastes.catalogue)
    assert torch.allclose(alone_1N, predictor.rank(history, tastes.catalogue)[3:4], atol=1e-4)


def test_an_empty_history_has_scores(predictor: Predictor, tastes: Tastes) -> None:
    assert predictor.rank(emptied(tastes.people.history(2)), tastes.catalogue).isfinite().all()


def test_an_empty_history_has_samples(predictor: Predictor, tastes: Tastes) -> None:
    history = emptied(tastes.people.history(2))
    assert predictor.sample(history, 2, torch.Generator().manual_seed(0)).isfinite().all()


@pytest.mark.parametrize("name", PERSONAL)
def test_a_personal_baseline_finds_a_known_taste(name: str, tastes: Tastes) -> None:
    held_out = tastes.people
    scored = score(fitted(PERSONAL[name](), tastes), held_out)
    assert float(auc(scored.score_BT, held_out.held_liked_BT, held_out.held_disliked_BT).nanmean()) > 0.7


def test_ranking_before_fit_is_an_error(tastes: Tastes) -> None:
    with pytest.raises(ValueError, match="must be fit before"):
        MeanOfLikes().sample(tastes.people.history(), 1, torch.Generator())
