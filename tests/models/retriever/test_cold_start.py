"""New pictures: told from rated ones whatever a catalogue is kept in, and ranked among them by their share."""

from dataclasses import replace

import pytest
import torch
from prefprior.models.retriever.contrastive import Contrastive
from torch.nn.functional import cosine_similarity

from prefprior import checkpoint
from prefprior.gallery.sampler import PriorSampler
from prefprior.inference import predictor as module
from prefprior.inference.predictor import PriorPredictor
from prefprior.models.diffusion.sampler import Sampling
from prefprior.models.objectives.regression import Regression
from prefprior.models.prior.in_context import InContextPrior
from prefprior.models.retriever import cold_start as new_pictures
from prefprior.models.retriever.cold_start import KnownPictures
from prefprior.predictor import Catalogue
from tests.models.conftest import DIM, make_history, make_prior

PICTURES, RATED = 40, 30


@pytest.fixture
def table() -> torch.Tensor:
    return torch.randn(PICTURES, DIM, generator=torch.Generator().manual_seed(7))


@pytest.fixture
def rated() -> torch.Tensor:
    return torch.arange(PICTURES) < RATED


def knowing(space, table, rated, **sampling):
    prior = make_prior(space, pictures=RATED)
    prior.learn_pictures(table, rated)
    return PriorPredictor(prior=prior, objective=Regression(rank=Contrastive()), sampling=Sampling(**sampling))


@pytest.mark.parametrize("kept", [torch.float32, torch.float16])
def test_rated_pictures_are_known_in_either_precision_and_any_order(table, rated, kept, monkeypatch):
    monkeypatch.setattr(new_pictures, "AT_ONCE", 7)
    known = KnownPictures(RATED + 3)  # more rows than are needed
    known.learn(table.half(), rated)
    order = torch.randperm(PICTURES, generator=torch.Generator().manual_seed(0))
    assert torch.equal(known(table[order].to(kept)), rated[order])
    assert known(table[:6].view(2, 3, DIM)).all()
    assert not known(table[:RATED].half() + 0.01).any()


def test_both_zeros_are_one():
    known = KnownPictures(1)
    known.learn(torch.zeros(1, DIM), torch.tensor([True]))
    assert known(-torch.zeros(1, DIM)).all()


def test_too_few_rows_are_refused_with_how_many_it_takes(table, rated):
    with pytest.raises(ValueError, match=r"prior\.pictures=30"):
        KnownPictures(RATED - 1).learn(table, rated)
    twice = torch.cat([table, table])
    KnownPictures(RATED).learn(twice, torch.cat([rated, rated]))  # the same picture twice is one


def test_new_pictures_together_have_their_share_and_nearness_parts_it(space, table, rated):
    history = make_history(5, 6)
    history.items_BK[:] = -1
    catalogue = Catalogue(space, [str(i) for i in range(PICTURES)], table)
    plain = knowing(space, table, rated).rank(history, catalogue)
    apart = knowing(space, table, rated, new_share=0.2, new_sharpness=5.0).rank(history, catalogue)
    assert torch.equal(apart[:, rated], plain[:, rated])
    share = apart.softmax(1)[:, ~rated]
    torch.testing.assert_close(share.sum(1), torch.full((5,), 0.2))
    for b in range(5):
        likes = history.embeddings_BKD[b][history.liked_BK[b]]
        near = cosine_similarity(table[~rated][:, None], likes[None], dim=-1).mean(1) if len(likes) else torch.zeros(10)
        torch.testing.assert_close(share[b] / 0.2, (5.0 * near).softmax(0), atol=1e-5, rtol=1e-4)


def test_what_a_person_has_is_not_shared_out_with(space, table, rated):
    history = make_history(3, 6)
    history.items_BK[:] = torch.where(history.valid_BK, torch.arange(6), -1)
    catalogue = Catalogue(space, [str(i) for i in range(PICTURES)], table)
    scores = knowing(space, table, rated, new_share=0.1).rank(history, catalogue)
    had = torch.zeros(3, PICTURES, dtype=torch.bool)
    had[:, :6] = history.valid_BK
    left = scores.masked_fill(had, -torch.inf).softmax(1)
    torch.testing.assert_close(left[:, ~rated].sum(1), torch.full((3,), 0.1))


def test_new_pictures_that_a_person_has_keep_their_place_and_no_part_is_lost(space, table, rated):
    """One who has all of the new ones, and one who has some: `top` leaves out what each has, and nothing else."""
    history = make_history(2, 10)
    history.items_BK[:] = torch.arange(10) + RATED
    history.valid_BK[:] = True
    history.items_BK[1, 4:] = -1
    catalogue = Catalogue(space, [str(i) for i in range(PICTURES)], table)
    predictor = knowing(space, table, rated, new_share=0.4)
    assert predictor.rank(history, catalogue).isfinite().all()
    rows, scores = predictor.top(history, catalogue, PICTURES)
    assert set(rows[0][scores[0].isfinite()].tolist()) == set(range(RATED))
    assert set(rows[1][scores[1].isfinite()].tolist()) == {*range(RATED), *range(RATED + 4, PICTURES)}


def test_samples_for_galleries_are_scored_as_the_real_pictures_they_are_compared_with(space, table, rated):
    catalogue = Catalogue(space, [str(i) for i in range(PICTURES)], table)
    history = make_history(2, 6)
    plain = knowing(space, table, rated)
    sampler = PriorSampler(knowing(space, table, rated, new_share=0.4))
    assert torch.equal(sampler.rank(history, catalogue), plain.rank(history, catalogue))


def test_parts_of_a_catalogue_are_one_catalogue(space, table, rated, monkeypatch):
    history = make_history(4, 6)
    catalogue = Catalogue(space, [str(i) for i in range(PICTURES)], table.half())
    predictor = knowing(space, table, rated, new_share=0.3)
    whole, best = predictor.rank(history, catalogue), predictor.top(history, catalogue, 7)
    monkeypatch.setattr(module, "SCORES_AT_ONCE", 4 * 9)
    torch.testing.assert_close(predictor.rank(history, catalogue), whole)
    assert torch.equal(predictor.top(history, catalogue, 7)[0], best[0])


def test_a_catalogue_of_new_or_of_rated_pictures_alone_is_ranked_as_ever(space, table, rated):
    history = make_history(4, 6)
    plain, apart = (knowing(space, table, rated, new_share=share) for share in (0.0, 0.3))
    for some in (rated, ~rated):
        catalogue = Catalogue(space, [str(i) for i in range(int(some.sum()))], table[some])
        unseen = replace(history, items_BK=torch.full_like(history.items_BK, -1))
        assert torch.equal(apart.rank(unseen, catalogue), plain.rank(unseen, catalogue))


def test_who_has_no_likes_is_as_near_to_one_new_picture_as_to_another(space, table, rated):
    history = make_history(2, 6)
    history.ratings_BK = -history.ratings_BK.abs()
    catalogue = Catalogue(space, [str(i) for i in range(PICTURES)], table)
    new = knowing(space, table, rated, new_share=0.3).rank(history, catalogue)[:, ~rated]
    torch.testing.assert_close(new, new[:, :1].expand(-1, 10))


def test_a_checkpoint_knows_them_too(space, table, rated, tmp_path):
    history, catalogue = make_history(3, 6), Catalogue(space, [str(i) for i in range(PICTURES)], table)
    predictor = knowing(space, table, rated, new_share=0.3)
    path = tmp_path / "prior.safetensors"
    checkpoint.save(path, prior=predictor.prior, objective=predictor.objective, sampling=predictor.sampling)
    assert torch.equal(checkpoint.load(path).rank(history, catalogue), predictor.rank(history, catalogue))


def test_it_is_refused_where_new_pictures_cannot_be_told_or_scores_are_not_learned(space, table, rated):
    with pytest.raises(ValueError, match=r"prior\.pictures=N"):
        PriorPredictor(
            prior=make_prior(space), objective=Regression(rank=Contrastive()), sampling=Sampling(new_share=0.1)
        )
    predictor = knowing(space, table, rated)
    for share in (-0.1, 1.0):
        with pytest.raises(ValueError, match="below 1"):
            predictor.new_share = share
    predictor.objective = Regression()
    with pytest.raises(ValueError, match="softmax_weight"):
        predictor.new_share = 0.1
    assert predictor.new_share == 0


@pytest.mark.parametrize("wrong", [{"new_share": 1.0}, {"new_share": -0.1}, {"new_sharpness": 0.0}])
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Sampling(**wrong)


def test_only_what_can_know_pictures_is_told(space, table, rated):
    with pytest.raises(ValueError, match="InContextPrior"):
        InContextPrior(space=space).learn_pictures(table, rated)
    with pytest.raises(ValueError, match="pictures cannot be below 0"):
        make_prior(space, pictures=-1)
