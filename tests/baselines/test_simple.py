import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from prefprior.baselines.cosine import CosineRanker, shell
from prefprior.baselines.linear import METHODS, PersonalDirection
from prefprior.baselines.mean import MeanOfLikes
from prefprior.baselines.nearest import NearestToLikes
from prefprior.baselines.popularity import ItemRatings, Popularity
from prefprior.baselines.random import RandomPredictor
from prefprior.baselines.rocchio import Rocchio
from prefprior.evaluation.metrics.rating import auc
from prefprior.evaluation.metrics.scoring import score
from prefprior.predictor import Catalogue, Predictor, TrainingPart
from prefprior.ratings import RatingScale, RatingsTable
from tests.evaluation.tastes import make_tastes

PERSONAL = [MeanOfLikes(), NearestToLikes(), Rocchio(), *(PersonalDirection(method=m) for m in METHODS)]
ALL = [*PERSONAL, Popularity(pool=16), RandomPredictor()]


@pytest.fixture(scope="module")
def tastes():
    return make_tastes()


def fitted(predictor, tastes):
    predictor.fit(tastes.training, None, torch.Generator().manual_seed(0))
    return predictor


@pytest.mark.parametrize("predictor", ALL, ids=lambda p: p.name)
def test_keeps_the_protocol(predictor, tastes):
    assert isinstance(fitted(predictor, tastes), Predictor)
    history = tastes.people.history()
    samples = predictor.sample(history, 3, torch.Generator().manual_seed(0))
    assert samples.shape == (24, 3, 8)
    assert samples.isfinite().all()
    assert torch.equal(samples, predictor.sample(history, 3, torch.Generator().manual_seed(0)))
    scores = predictor.rank(history, tastes.catalogue)
    assert scores.shape == (24, 200)
    assert scores.isfinite().all()


@pytest.mark.parametrize("predictor", ALL, ids=lambda p: p.name)
def test_padding_and_company_change_nothing(predictor, tastes):
    fitted(predictor, tastes)
    history = tastes.people.history(5)
    alone = predictor.rank(history.take([3]), tastes.catalogue)
    padded = predictor.rank(history.last(5), tastes.catalogue)[3:4]
    assert torch.allclose(alone, padded, atol=1e-5)
    wide = history.take([3])
    wide.embeddings_BKD = torch.cat([wide.embeddings_BKD, torch.full((1, 2, 8), 9.0)], 1)
    for name in ("ratings_BK", "ages_BK"):
        setattr(wide, name, torch.cat([getattr(wide, name), torch.ones(1, 2)], 1))
    wide.valid_BK = torch.cat([wide.valid_BK, torch.zeros(1, 2, dtype=torch.bool)], 1)
    wide.items_BK = torch.cat([wide.items_BK, torch.full((1, 2), -1)], 1)
    assert torch.allclose(alone, predictor.rank(wide, tastes.catalogue), atol=1e-5)


@pytest.mark.parametrize("predictor", PERSONAL, ids=lambda p: p.name)
def test_finds_a_known_taste(predictor, tastes):
    fitted(predictor, tastes)
    scored = score(predictor, tastes.people)
    people = tastes.people
    assert float(auc(scored.score_BT, people.held_liked_BT, people.held_disliked_BT).nanmean()) > 0.7


@pytest.mark.parametrize("predictor", ALL, ids=lambda p: p.name)
def test_an_empty_history_is_answered(predictor, tastes):
    fitted(predictor, tastes)
    history = tastes.people.history(2)
    history.valid_BK[:] = False
    history.items_BK[:] = -1
    assert predictor.rank(history, tastes.catalogue).isfinite().all()
    assert predictor.sample(history, 2, torch.Generator().manual_seed(0)).isfinite().all()


def test_cosine_ranker_is_the_cosine_of_standardised_vectors(tastes):
    space, raw = tastes.catalogue.space, tastes.catalogue.embeddings_ND
    queries = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.normalize(queries, dim=1) @ space.directions(raw).T
    assert torch.allclose(CosineRanker()(queries, tastes.catalogue), expected, atol=1e-5)


def test_the_mean_points_at_the_likes_at_the_length_of_pictures(tastes):
    space = tastes.catalogue.space
    mean = fitted(MeanOfLikes(), tastes)
    samples = mean.sample(tastes.people.history(), 2, torch.Generator())
    assert torch.allclose(samples.norm(dim=-1), torch.tensor(space.norm), rtol=1e-4)
    assert torch.equal(samples[:, 0], samples[:, 1])
    direction = torch.randn(8, generator=torch.Generator().manual_seed(1))
    cosine = torch.nn.functional.cosine_similarity(
        space.from_model(torch.nn.functional.normalize(direction, dim=0) * 8**0.5), shell(space, direction), dim=0
    )
    assert float(cosine) == pytest.approx(1)


def test_nearest_samples_are_unseen_pictures_of_the_catalogue(tastes):
    nearest = fitted(NearestToLikes(k=3), tastes)
    history = tastes.people.history()
    samples = nearest.sample(history, 6, torch.Generator().manual_seed(0))
    raw = tastes.catalogue.embeddings_ND
    rows = torch.cdist(samples.reshape(-1, 8), raw).argmin(1).reshape(24, 6)
    assert torch.equal(raw[rows], samples)
    for b in range(24):
        assert not set(rows[b].tolist()) & set(history.items_BK[b].tolist())


def test_popularity_recovers_what_everybody_likes():
    tastes = make_tastes(users=60, rated=60)
    ratings = tastes.training.ratings
    scaled = tastes.catalogue.space.to_model(tastes.catalogue.embeddings_ND)
    appeal = scaled[:, 0] - scaled[:, 1]
    ratings.rating_N[:] = appeal[torch.from_numpy(ratings.item_N).long()].numpy()
    found = fitted(Popularity(), tastes).popularity(tastes.catalogue)
    assert float(torch.corrcoef(torch.stack([found, appeal]))[0, 1]) > 0.99


def liked(item, catalogue):
    """A training part of likes alone."""
    item = np.asarray(item, dtype=np.int32)
    table = RatingsTable(
        source="likes", scale=RatingScale(1, 1, 1, liked_only=True), users=np.arange(len(item)).astype(str),
        items=np.array(catalogue.ids), user_N=np.arange(len(item), dtype=np.int32), item_N=item,
        rating_N=np.ones(len(item), dtype=np.float32),
    )  # fmt: skip
    return TrainingPart(table, catalogue)


def test_popularity_is_a_count_where_embeddings_say_nothing(tastes):
    count = np.random.default_rng(0).geometric(0.15, 150)
    training = liked(np.repeat(np.arange(150), count), tastes.catalogue)
    popularity = Popularity()
    popularity.fit(training, None, torch.Generator().manual_seed(0))
    appeal = popularity.popularity(tastes.catalogue)
    assert spearmanr(appeal[:150], count).statistic > 0.99
    # Nothing is known of items that nobody rated: they stand in the middle, not at an end.
    assert float(appeal[:150].min()) < float(appeal[150:].min())
    assert float(appeal[150:].max()) < float(appeal[:150].max())


def test_popularity_is_guessed_for_items_that_nobody_rated_and_in_other_catalogues(tastes):
    catalogue = tastes.catalogue
    rate = (1.5 + 0.8 * catalogue.space.to_model(catalogue.embeddings_ND)[:, 0]).exp().numpy()
    count = np.random.default_rng(0).poisson(rate[:150])
    popularity = Popularity()
    popularity.fit(liked(np.repeat(np.arange(150), count), catalogue), None, torch.Generator().manual_seed(0))
    assert spearmanr(popularity.popularity(catalogue)[150:], rate[150:]).statistic > 0.9
    turned = Catalogue(catalogue.space, catalogue.ids[::-1], catalogue.embeddings_ND.flip(0))
    assert torch.allclose(popularity.popularity(turned), popularity.popularity(catalogue).flip(0), atol=1e-5)


def test_few_ratings_are_shrunk_to_the_guess():
    noise = np.random.default_rng(0)
    count, truth = np.r_[np.full(50, 2.0), np.full(50, 200.0)], noise.normal(0, 0.3, 100)
    mean = truth + noise.normal(size=100) / np.sqrt(count)
    rated = ItemRatings(np.arange(100), count, mean, noise=1.0, counted=False)
    found = rated.shrunk(np.zeros(100), np.ones(100, dtype=bool))
    assert np.abs(found[50:] - mean[50:]).max() < 0.1
    assert np.square(found[:50] - truth[:50]).mean() < 0.5 * np.square(mean[:50] - truth[:50]).mean()


def test_rocchio_uses_dislikes_where_they_help(tastes):
    rocchio = fitted(Rocchio(), tastes)
    assert rocchio.weight > 0
    with pytest.raises(ValueError, match="at least 0"):
        Rocchio(weights=(-1.0,))


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="did you mean svm"):
        PersonalDirection(method="svn")
    with pytest.raises(ValueError, match="before it was fit"):
        MeanOfLikes().catalogue  # noqa: B018
