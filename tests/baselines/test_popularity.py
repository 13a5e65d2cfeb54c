"""prefprior/baselines/popularity.py: an item's ratings, shrunk to what its embedding predicts."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from prefprior.baselines.item_appeal import ItemRatings
from prefprior.baselines.popularity import Popularity
from prefprior.predictor import Catalogue, TrainingPart
from prefprior.ratings import RatingScale, RatingsTable
from tests.baselines.conftest import fitted
from tests.evaluation.tastes import Tastes, make_tastes


def liked(item_N: np.ndarray, catalogue: Catalogue) -> TrainingPart:
    """A training part of likes alone."""
    count = len(item_N)
    table = RatingsTable(
        source="likes", scale=RatingScale(1, 1, 1, liked_only=True), users=np.arange(count).astype(str),
        items=np.array(catalogue.ids), user_N=np.arange(count, dtype=np.int32), item_N=item_N.astype(np.int32),
        rating_N=np.ones(count, dtype=np.float32),
    )  # fmt: skip
    return TrainingPart(table, catalogue)


def found(training: TrainingPart, catalogue: Catalogue) -> torch.Tensor:
    """(N,) the popularity that training says a catalogue has."""
    predictor = Popularity()
    predictor.fit(training, None, torch.Generator().manual_seed(0))
    return predictor.popularity(catalogue, "interaction")


def test_mean_ratings_are_recovered() -> None:
    tastes = make_tastes(users=60, rated=60)
    scaled_ND = tastes.catalogue.space.to_model(tastes.catalogue.embeddings_ND)
    truth_N, ratings = scaled_ND[:, 0] - scaled_ND[:, 1], tastes.training.ratings
    ratings.rating_N[:] = truth_N[torch.from_numpy(ratings.item_N).long()].numpy()
    popularity_N = fitted(Popularity(), tastes).popularity(tastes.catalogue, "rating")
    assert float(torch.corrcoef(torch.stack([popularity_N, truth_N]))[0, 1]) > 0.99


@pytest.fixture(scope="module")
def counted(tastes: Tastes) -> tuple[np.ndarray, torch.Tensor]:
    """Random counts of likes of the first 150 items, and the popularity of all 200."""
    count = np.random.default_rng(0).geometric(0.15, 150)
    return count, found(liked(np.repeat(np.arange(150), count), tastes.catalogue), tastes.catalogue)


def test_with_uninformative_embeddings_it_counts_ratings(counted: tuple[np.ndarray, torch.Tensor]) -> None:
    count, popularity_N = counted
    assert spearmanr(popularity_N[:150], count).statistic > 0.99


def test_unrated_items_rank_in_the_middle(counted: tuple[np.ndarray, torch.Tensor]) -> None:
    rated, unrated = counted[1][:150], counted[1][150:]
    assert rated.min() < unrated.min() < unrated.max() < rated.max()


@pytest.fixture(scope="module")
def predicted(tastes: Tastes) -> tuple[TrainingPart, np.ndarray]:
    """Likes of the first 150 items, whose rates follow from embeddings; and all the rates."""
    catalogue = tastes.catalogue
    rate_N = (1.5 + 0.8 * catalogue.space.to_model(catalogue.embeddings_ND)[:, 0]).exp().numpy()
    count = np.random.default_rng(0).poisson(rate_N[:150])
    return liked(np.repeat(np.arange(150), count), catalogue), rate_N


def test_embeddings_predict_the_popularity_of_unrated_items(
    predicted: tuple[TrainingPart, np.ndarray], tastes: Tastes
) -> None:
    training, rate_N = predicted
    assert spearmanr(found(training, tastes.catalogue)[150:], rate_N[150:]).statistic > 0.9


def test_items_are_matched_by_id_in_another_catalogue(
    predicted: tuple[TrainingPart, np.ndarray], tastes: Tastes
) -> None:
    training, catalogue = predicted[0], tastes.catalogue
    reversed_ = Catalogue(catalogue.space, catalogue.ids[::-1], catalogue.embeddings_ND.flip(0))
    assert torch.allclose(found(training, reversed_), found(training, catalogue).flip(0), atol=1e-5)


@pytest.fixture(scope="module")
def noisy() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True means of 100 items, means of 2 or 200 noisy ratings, and what is left of those by shrinking to 0."""
    noise = np.random.default_rng(0)
    count, truth = np.r_[np.full(50, 2.0), np.full(50, 200.0)], noise.normal(0, 0.3, 100)
    mean = truth + noise.normal(size=100) / np.sqrt(count)
    rated = ItemRatings(np.arange(100), count, mean, noise=1.0, counted=False)
    return truth, mean, rated.shrunk(np.zeros(100), np.ones(100, dtype=bool))


def test_items_with_many_ratings_are_hardly_shrunk(noisy: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    _, mean, shrunk = noisy
    assert np.abs(shrunk[50:] - mean[50:]).max() < 0.1


def test_shrinkage_improves_items_with_few_ratings(noisy: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    truth, mean, shrunk = noisy
    assert np.square(shrunk[:50] - truth[:50]).mean() < 0.5 * np.square(mean[:50] - truth[:50]).mean()


@pytest.fixture(scope="module")
def graded() -> tuple[TrainingPart, np.ndarray]:
    """Ratings of -1 and 1 whose number an item rises with its row, and whose mean falls with it."""
    catalogue, count = make_tastes(users=1, items=40, rated=1).catalogue, np.arange(10, 50)
    item_N = np.repeat(np.arange(40), count)
    liked_N = np.random.default_rng(0).random(len(item_N)) > item_N / 45
    training = liked(item_N, catalogue)
    table = replace(training.ratings, scale=RatingScale(-1, 1, 1), rating_N=np.where(liked_N, 1, -1).astype(np.float32))
    return TrainingPart(table, catalogue), count


def test_by_interaction_it_is_how_many_ratings_there_are(graded: tuple[TrainingPart, np.ndarray]) -> None:
    training, count = graded
    assert spearmanr(found(training, training.catalogue), count).statistic > 0.99


def test_by_rating_it_is_what_they_are(graded: tuple[TrainingPart, np.ndarray]) -> None:
    training, count = graded
    predictor = Popularity()
    predictor.fit(training, None, torch.Generator().manual_seed(0))
    assert predictor.two_scores
    assert spearmanr(predictor.popularity(training.catalogue, "rating"), count).statistic < -0.9


def test_by_both_it_is_how_many_likes_there_are(graded: tuple[TrainingPart, np.ndarray]) -> None:
    training, _ = graded
    predictor, table = Popularity(), training.ratings
    predictor.fit(training, None, torch.Generator().manual_seed(0))
    likes = np.bincount(table.item_N[table.rating_N > 0], minlength=40)
    assert spearmanr(predictor.popularity(training.catalogue, "both"), likes).statistic > 0.95


def test_where_all_are_likes_there_is_one_score(predicted: tuple[TrainingPart, np.ndarray]) -> None:
    predictor = Popularity()
    predictor.fit(predicted[0], None, torch.Generator().manual_seed(0))
    assert not predictor.two_scores


def test_strengths_must_be_positive() -> None:
    with pytest.raises(ValueError, match="positive"):
        Popularity(strengths=(0.0,))
