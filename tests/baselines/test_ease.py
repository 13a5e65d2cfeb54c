"""prefprior/baselines/ease.py: the closed form from either side, and what it finds."""

import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot

from prefprior.baselines import ease as module
from prefprior.baselines.ease import Ease
from prefprior.baselines.interactions import training_matrix
from prefprior.baselines.popularity import Popularity
from prefprior.predictor import Catalogue, TrainingPart
from tests.baselines.likes import Clusters, make_clusters, permuted, recall


@pytest.fixture(scope="module")
def clusters() -> Clusters:
    """75 users, 60 items: more users than items."""
    return make_clusters()


@pytest.fixture(scope="module")
def few() -> Clusters:
    """Fewer users than items, some of which nobody liked."""
    return make_clusters(users=16, items=90)


def fitted(training: TrainingPart, **settings: float) -> Ease:
    predictor = Ease(**settings)
    predictor.fit(training, None, torch.Generator())
    return predictor


def weights(training: TrainingPart, strength: float, features: float) -> np.ndarray:
    """B by Steck's equation 8, as it stands there."""
    x = training_matrix(training, 0.0).toarray().astype(np.float64)
    if features:
        raw = training.catalogue.embeddings_ND
        x = np.concatenate([x, features**0.5 * training.catalogue.space.directions(raw).numpy().T])
    p = np.linalg.inv(x.T @ x + strength * np.eye(x.shape[1]))
    b = -p / np.diag(p)
    np.fill_diagonal(b, 0)
    return b


@pytest.mark.parametrize("features", [0.0, 3.0])
@pytest.mark.parametrize("data", ["clusters", "few"])
def test_scores_are_the_direct_formulas(data: str, features: float, request: pytest.FixtureRequest) -> None:
    found: Clusters = request.getfixturevalue(data)
    predictor, history = fitted(found.training, strength=5.0, features=features), found.people.history()
    chosen_BKN = one_hot(history.items_BK.clamp_min(0), len(found.people.catalogue)) * history.liked_BK[..., None]
    expected = chosen_BKN.sum(1).double().numpy() @ weights(found.training, 5.0, features)
    np.testing.assert_allclose(predictor.rank(history, found.people.catalogue).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(("data", "side"), [("clusters", "_ByItems"), ("few", "_ByRows")])
def test_the_smaller_matrix_is_inverted(data: str, side: str, request: pytest.FixtureRequest) -> None:
    found: Clusters = request.getfixturevalue(data)
    assert type(fitted(found.training)._solution).__name__ == side


@pytest.mark.parametrize("data", ["clusters", "few"])
def test_a_like_says_nothing_of_its_own_item(data: str, request: pytest.FixtureRequest) -> None:
    found: Clusters = request.getfixturevalue(data)
    history = found.people.history(1)
    scores_BN = fitted(found.training, strength=5.0).rank(history, found.people.catalogue)
    assert scores_BN.gather(1, history.items_BK[:, :1]).abs().max() < 1e-5


@pytest.mark.parametrize("data", ["clusters", "few"])
def test_blocks_of_columns_change_nothing(
    data: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: Clusters = request.getfixturevalue(data)
    history, catalogue = found.people.history(), found.people.catalogue
    whole_BN = fitted(found.training).rank(history, catalogue)
    monkeypatch.setattr(module, "COLUMNS", 7)
    torch.testing.assert_close(fitted(found.training).rank(history, catalogue), whole_BN)


def test_it_finds_what_is_liked_together(clusters: Clusters) -> None:
    ours = recall(Ease(), clusters.training, clusters.people)
    assert ours > 2 * recall(Popularity(), clusters.training, clusters.people)


def test_with_likes_permuted_it_finds_no_more_than_popularity(clusters: Clusters) -> None:
    training = permuted(clusters.training)
    assert recall(Ease(features=0.0), training, clusters.people) < 1.5 * recall(Popularity(), training, clusters.people)


def test_with_features_items_that_nobody_liked_have_scores(few: Clusters) -> None:
    catalogue = few.people.catalogue
    cold = np.setdiff1d(np.arange(len(catalogue)), few.training.ratings.item_N)
    with_BN, without_BN = (
        fitted(few.training, features=f).rank(few.people.history(), catalogue)[:, torch.from_numpy(cold)]
        for f in (10.0, 0.0)
    )
    assert with_BN.abs().min() > 0
    assert not without_BN.any()


@pytest.mark.parametrize("features", [0.0, 10.0])
def test_items_are_known_by_id_in_another_catalogue(clusters: Clusters, features: float) -> None:
    catalogue, people = clusters.people.catalogue, clusters.people
    reversed_ = Catalogue(catalogue.space, catalogue.ids[::-1], catalogue.embeddings_ND.flip(0))
    predictor, history = fitted(clusters.training, features=features), people.history()
    other = people.history()
    other.items_BK[:] = torch.where(history.valid_BK, len(catalogue) - 1 - history.items_BK, -1)
    torch.testing.assert_close(predictor.rank(other, reversed_), predictor.rank(history, catalogue).flip(1))


def test_data_too_large_for_a_dense_inverse_are_told_what_to_use(clusters: Clusters) -> None:
    with pytest.raises(ValueError, match=r"60 items and 81 users and dimensions.*ials or wals"):
        fitted(clusters.training, largest=59)


@pytest.mark.parametrize("settings", [{"strength": 0.0}, {"features": -1.0}, {"largest": 0}])
def test_impossible_settings_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="strength must be above 0, features at least 0 and largest at least 1"):
        Ease(**settings)


def test_unliked_is_a_share() -> None:
    with pytest.raises(ValueError, match="unliked must be at least 0 and at most 1"):
        Ease(unliked=1.5)
