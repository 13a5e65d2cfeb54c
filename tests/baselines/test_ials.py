"""prefprior/baselines/ials.py: each half-sweep and each fold-in is a dense solve, and what it finds."""

import numpy as np
import pytest
import torch

from prefprior.baselines.ials import Ials
from prefprior.baselines.interactions import training_matrix
from prefprior.baselines.popularity import Popularity
from prefprior.predictor import TrainingPart
from tests.baselines.likes import Clusters, make_clusters, permuted, recall

DIM, UNOBSERVED, STRENGTH = 4, 0.2, 0.05


@pytest.fixture(scope="module")
def clusters() -> Clusters:
    return make_clusters()


def fitted(training: TrainingPart, **settings: float) -> Ials:
    predictor = Ials(dim=DIM, unobserved=UNOBSERVED, strength=STRENGTH, **settings)
    predictor.fit(training, None, torch.Generator().manual_seed(0))
    return predictor


def solved(likes_RO: np.ndarray, factors_OD: np.ndarray) -> np.ndarray:
    """The best rows by the normal equations of the whole objective, one dense system each."""
    rows = []
    for likes_O in likes_RO:
        weight_O = UNOBSERVED + (likes_O > 0)
        ridge = STRENGTH * ((likes_O > 0).sum() + UNOBSERVED * len(likes_O))
        left = factors_OD.T @ (weight_O[:, None] * factors_OD) + ridge * np.eye(DIM)
        rows.append(np.linalg.solve(left, factors_OD.T @ likes_O))
    return np.stack(rows)


@pytest.mark.parametrize("at_once", [1 << 24, 64])
def test_a_sweep_is_a_dense_solve_of_users_and_then_of_items(
    clusters: Clusters, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prefprior.factorization.implicit_als.AT_ONCE", at_once)
    likes_UM = training_matrix(clusters.training, 0.0).toarray().astype(np.float64)
    likes_UM = likes_UM[:, likes_UM.any(0)]
    drawn_MD = torch.randn(likes_UM.shape[1], DIM, generator=torch.Generator().manual_seed(0)) * 0.1 / DIM**0.5
    users_UD = solved(likes_UM, drawn_MD.double().numpy())
    expected_MD = solved(likes_UM.T, users_UD)
    found_MD = fitted(clusters.training, sweeps=1)._factors_MD.numpy()
    np.testing.assert_allclose(found_MD, expected_MD, rtol=1e-3, atol=1e-5)


def test_a_user_is_folded_in_by_a_dense_solve(clusters: Clusters) -> None:
    predictor, history = fitted(clusters.training), clusters.people.history()
    likes_BM = predictor._items.history_matrix(history, clusters.people.catalogue, 0.0).toarray()
    expected_BD = solved(likes_BM.astype(np.float64), predictor._factors_MD.double().numpy())
    found_BD = predictor.fold_in(history, clusters.people.catalogue).numpy()
    np.testing.assert_allclose(found_BD, expected_BD, rtol=1e-3, atol=1e-5)


def test_it_finds_what_is_liked_together(clusters: Clusters) -> None:
    ours = recall(Ials(dim=8), clusters.training, clusters.people)
    assert ours > 2 * recall(Popularity(), clusters.training, clusters.people)


def test_with_likes_permuted_it_finds_no_more_than_popularity(clusters: Clusters) -> None:
    training = permuted(clusters.training)
    assert recall(Ials(dim=8), training, clusters.people) < 1.5 * recall(Popularity(), training, clusters.people)


def test_items_that_nobody_liked_score_0() -> None:
    few = make_clusters(users=16, items=90)
    scores_BN = fitted(few.training).rank(few.people.history(), few.people.catalogue)
    warm = torch.from_numpy(np.isin(np.arange(90), few.training.ratings.item_N))
    assert not scores_BN[:, ~warm].any()
    assert scores_BN[:, warm].abs().amin() > 0


@pytest.mark.parametrize("settings", [{"unobserved": 0.0}, {"strength": 0.0}])
def test_weights_must_be_positive(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="unobserved and strength must be above 0"):
        Ials(**settings)
