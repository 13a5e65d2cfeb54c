import pytest
import torch

from prefprior.baselines.directions import METHODS, PersonalDirection
from prefprior.baselines.geometry import CosineRanker, shell, unit
from prefprior.baselines.mean import MeanOfLikes
from prefprior.baselines.nearest import NearestToLikes
from prefprior.baselines.popularity import GeneralAppeal
from prefprior.baselines.random import RandomPredictor
from prefprior.baselines.rocchio import Rocchio
from prefprior.evaluation.predictor import Predictor
from prefprior.evaluation.rating import auc
from prefprior.evaluation.scoring import score
from tests.evaluation.tastes import make_tastes

PERSONAL = [MeanOfLikes(), NearestToLikes(), Rocchio(), *(PersonalDirection(method=m) for m in METHODS)]
ALL = [*PERSONAL, GeneralAppeal(pool=16), RandomPredictor()]


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
    expected = torch.nn.functional.normalize(queries, dim=1) @ unit(space, raw).T
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


def test_neighbours_are_unseen_pictures_of_the_catalogue(tastes):
    nearest = fitted(NearestToLikes(neighbours=3), tastes)
    history = tastes.people.history()
    samples = nearest.sample(history, 6, torch.Generator().manual_seed(0))
    raw = tastes.catalogue.embeddings_ND
    rows = torch.cdist(samples.reshape(-1, 8), raw).argmin(1).reshape(24, 6)
    assert torch.equal(raw[rows], samples)
    for b in range(24):
        assert not set(rows[b].tolist()) & set(history.items_BK[b].tolist())


def test_general_appeal_recovers_what_everybody_likes():
    tastes = make_tastes(users=60, rated=60)
    ratings = tastes.training.ratings
    scaled = tastes.catalogue.space.to_model(tastes.catalogue.embeddings_ND)
    appeal = scaled[:, 0] - scaled[:, 1]
    ratings.rating_N[:] = appeal[torch.from_numpy(ratings.item_N).long()].numpy()
    found = fitted(GeneralAppeal(), tastes).appeal(tastes.catalogue)
    assert float(torch.corrcoef(torch.stack([found, appeal]))[0, 1]) > 0.99


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
