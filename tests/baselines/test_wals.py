"""prefprior/baselines/wals.py: matrix factorisation held to embeddings."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from prefprior.baselines.wals import CHOICES, Wals
from prefprior.data.embedding.table import EmbeddingTable
from prefprior.predictor import Catalogue, TrainingPart
from prefprior.ratings import RatingScale, RatingsTable
from prefprior.space import Space
from tests.baselines.conftest import emptied, fitted
from tests.evaluation.tastes import Tastes, make_tastes


@pytest.mark.parametrize("dim", [8, 40])
@pytest.mark.parametrize("zeros", [0.0, 0.05])
@pytest.mark.parametrize("few", [0, 64])
def test_the_objective_never_increases(dim: int, zeros: float, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prefprior.baselines.wals.FEW", few)
    wals = Wals(zeros=zeros, pull=0.3, steps=2)
    wals.begin(make_tastes(dim=dim).training)
    values = [wals.objective()]
    for _ in range(5):
        wals.sweep()
        values.append(wals.objective())
    assert all(after <= before * (1 + 1e-6) for before, after in pairwise(values))
    assert values[-1] < 0.9 * values[0]


def test_folding_in_a_training_user_gives_the_fitted_factor(tastes: Tastes) -> None:
    wals = fitted(Wals(pull=1.0, user_strength=1.0, zeros=0.05, sweeps=60, steps=8), tastes)
    assert torch.allclose(wals.fold_in(tastes.people.history()), wals._users_UD, atol=2e-2)


def test_an_empty_history_is_the_mean_user(tastes: Tastes) -> None:
    wals = fitted(Wals(zeros=0.0), tastes)
    folded_BD = wals.fold_in(emptied(tastes.people.history(1)))
    assert torch.allclose(folded_BD, wals._users_UD.mean(0).expand(24, -1), atol=1e-5)


@pytest.fixture(scope="module")
def sparse() -> Tastes:
    """Six users: most of 300 items have no rating."""
    return make_tastes(users=6, items=300)


def test_a_strong_pull_keeps_items_at_their_embeddings(sparse: Tastes) -> None:
    wals, catalogue = fitted(Wals(pull=1e6, user_strength=1.0, zeros=0.0), sparse), sparse.catalogue
    assert torch.allclose(wals._items(catalogue), catalogue.space.directions(catalogue.embeddings_ND), atol=1e-3)


def test_only_rated_items_leave_their_embeddings(sparse: Tastes) -> None:
    wals, catalogue = fitted(Wals(pull=0.1, user_strength=1.0, zeros=0.0), sparse), sparse.catalogue
    distance_N = (wals._items(catalogue) - catalogue.space.directions(catalogue.embeddings_ND)).norm(dim=1)
    rated = np.unique(sparse.training.ratings.item_N)
    assert (distance_N > 1e-3).nonzero()[:, 0].tolist() == rated.tolist()


def test_items_are_matched_by_id_in_another_catalogue(tastes: Tastes) -> None:
    wals, catalogue, history = fitted(Wals(), tastes), tastes.catalogue, tastes.people.history()
    reversed_ = Catalogue(catalogue.space, catalogue.ids[::-1], catalogue.embeddings_ND.flip(0))
    assert torch.allclose(wals.rank(history, reversed_), wals.rank(history, catalogue).flip(1), atol=1e-6)


@pytest.fixture(scope="module")
def exported(tastes: Tastes, tmp_path_factory: pytest.TempPathFactory) -> tuple[Wals, EmbeddingTable]:
    folder: Path = tmp_path_factory.mktemp("wals") / "refined"
    wals = fitted(Wals(export=str(folder)), tastes)
    return wals, EmbeddingTable.open(folder)


def test_refined_embeddings_have_their_own_space(exported: tuple[Wals, EmbeddingTable], tastes: Tastes) -> None:
    assert exported[1].space.name == f"{tastes.catalogue.space.name}+wals"


def test_refined_embeddings_keep_the_items(exported: tuple[Wals, EmbeddingTable], tastes: Tastes) -> None:
    assert exported[1].ids == tastes.catalogue.ids


def test_refined_embeddings_have_the_direction_of_the_factors(
    exported: tuple[Wals, EmbeddingTable], tastes: Tastes
) -> None:
    wals, table = exported
    directions_ND = tastes.catalogue.space.directions(torch.from_numpy(np.array(table.vectors)))
    factors_ND = torch.nn.functional.normalize(wals._items(tastes.catalogue), dim=1)
    assert torch.allclose(directions_ND, factors_ND, atol=1e-4)


def agreeing(users: int = 300, items: int = 200, groups: int = 10, rated: int = 12) -> TrainingPart:
    """Users of a few groups who like the same items, whatever their embeddings."""
    rng = np.random.default_rng(0)
    raw = rng.normal(size=(items, 8)).astype(np.float32)
    catalogue = Catalogue(Space.measure("toy", raw), [f"i{i}" for i in range(items)], torch.from_numpy(raw))
    own = rng.permutation(items).reshape(groups, -1)
    item = np.concatenate([rng.choice(own[u % groups], rated, replace=False) for u in range(users)])
    table = RatingsTable(
        source="toy", scale=RatingScale(1, 1, 1, liked_only=True), users=np.arange(users).astype(str),
        items=np.array(catalogue.ids), user_N=np.repeat(np.arange(users), rated).astype(np.int32),
        item_N=item.astype(np.int32), rating_N=np.ones(len(item), np.float32),
    )  # fmt: skip
    return TrainingPart(table, catalogue)


def test_a_strong_pull_is_selected_if_embeddings_predict_likes(tastes: Tastes) -> None:
    assert fitted(Wals(), tastes).weights == CHOICES[0]


def test_a_weak_pull_is_selected_if_users_agree_on_items() -> None:
    wals = Wals()
    wals.fit(agreeing(), None, torch.Generator().manual_seed(0))
    assert wals.weights.pull < CHOICES[0].pull


def test_a_given_weight_is_kept_in_every_candidate() -> None:
    assert {choice.pull for choice in Wals(pull=3.0).choices} == {3.0}


def test_if_all_weights_are_given_there_is_one_candidate() -> None:
    assert len(Wals(pull=3.0, user_strength=1.0, zeros=0.0).choices) == 1


def test_a_pull_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        Wals(pull=0)
