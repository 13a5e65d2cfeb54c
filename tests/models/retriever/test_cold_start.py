"""Cold start: new items are told from rated ones whatever a catalogue is kept in, and ranked by their share."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from prefprior.inference import predictor as inference
from prefprior.inference.predictor import TrainedPredictor
from prefprior.models import known_items
from prefprior.models.diffusion.sampler import Sampler
from prefprior.models.known_items import KnownItems
from prefprior.models.objectives.regression import Regression
from prefprior.models.retriever.cold_start import ColdStart
from prefprior.models.retriever.losses import ContrastiveLoss
from prefprior.predictor import Catalogue
from prefprior.space import Space
from tests.models.conftest import DIM, make_history, make_model, make_prior, make_retriever, training_data

ITEMS, RATED = 40, 30
Make = Callable[..., TrainedPredictor]


@pytest.fixture
def table() -> Tensor:
    return torch.randn(ITEMS, DIM, generator=torch.Generator().manual_seed(7))


@pytest.fixture
def rated() -> Tensor:
    return torch.arange(ITEMS) < RATED


@pytest.fixture
def catalogue(space: Space, table: Tensor) -> Catalogue:
    return Catalogue(space, [str(i) for i in range(ITEMS)], table)


@pytest.fixture
def make(space: Space, table: Tensor, rated: Tensor) -> Make:
    """A predictor whose retriever ranks new items by a share; the same weights each time."""

    def made(**settings: float) -> TrainedPredictor:
        prior = make_prior(space)
        retriever = ColdStart(retriever=make_retriever(space, scale=prior.scale), **settings)
        model = make_model(space, retriever, prior=prior)
        model.prepare(training_data(space, table, rated.long()))
        return TrainedPredictor(model=model, objective=Regression(), sampler=Sampler())

    return made


@pytest.mark.parametrize("kept", [torch.float32, torch.float16])
def test_rated_items_are_recognised_in_any_precision_and_order(
    table: Tensor, rated: Tensor, kept: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_items, "AT_ONCE", 7)
    known = KnownItems()
    known.learn(table.half(), rated)
    order = torch.randperm(ITEMS, generator=torch.Generator().manual_seed(0))
    assert torch.equal(known(table[order].to(kept)), rated[order])
    assert known(table[:6].view(2, 3, DIM)).all()
    assert not known(table[:RATED].half() + 0.01).any()


def test_positive_and_negative_zero_are_equal() -> None:
    known = KnownItems()
    known.learn(torch.zeros(1, DIM), torch.tensor([True]))
    assert known(-torch.zeros(1, DIM)).all()


def test_before_training_no_item_is_rated(table: Tensor) -> None:
    assert not KnownItems()(table).any()


def test_new_items_together_have_their_share_distributed_by_score_and_cosine(
    make: Make, catalogue: Catalogue, table: Tensor, rated: Tensor
) -> None:
    history = make_history(5, 6)
    history.items_BK[:] = -1
    plain = make(share=0.0).rank(history, catalogue)
    apart = make(share=0.2, sharpness=5.0).rank(history, catalogue)
    assert torch.equal(apart[:, rated], plain[:, rated])
    share = apart.softmax(1)[:, ~rated]
    torch.testing.assert_close(share.sum(1), torch.full((5,), 0.2))
    for b in range(5):
        likes = history.embeddings_BKD[b][history.liked_BK[b]]
        near = cosine_similarity(table[~rated][:, None], likes[None], dim=-1).mean(1) if len(likes) else torch.zeros(10)
        expected = (plain[b, ~rated] + 5.0 * near).softmax(0)
        torch.testing.assert_close(share[b] / 0.2, expected, atol=1e-5, rtol=1e-4)


def test_one_score_stands_for_rating_too(make: Make, catalogue: Catalogue) -> None:
    predictor, history = make(share=0.2), make_history(3, 6)
    assert not predictor.two_scores
    assert torch.equal(predictor.rank(history, catalogue, "rating"), predictor.rank(history, catalogue))


def test_items_of_the_history_get_no_share(make: Make, catalogue: Catalogue, rated: Tensor) -> None:
    history = make_history(3, 6)
    history.items_BK[:] = torch.where(history.valid_BK, torch.arange(6), -1)
    scores = make(share=0.1).rank(history, catalogue)
    seen = torch.zeros(3, ITEMS, dtype=torch.bool)
    seen[:, :6] = history.valid_BK
    left = scores.masked_fill(seen, -torch.inf).softmax(1)
    torch.testing.assert_close(left[:, ~rated].sum(1), torch.full((3,), 0.1))


def test_top_leaves_out_the_history_and_nothing_else(make: Make, catalogue: Catalogue) -> None:
    """One user who has rated all new items, and one who has rated some."""
    history = make_history(2, 10)
    history.items_BK[:] = torch.arange(10) + RATED
    history.valid_BK[:] = True
    history.items_BK[1, 4:] = -1
    rows, scores = make(share=0.4).top(history, catalogue, ITEMS)
    assert set(rows[0][scores[0].isfinite()].tolist()) == set(range(RATED))
    assert set(rows[1][scores[1].isfinite()].tolist()) == {*range(RATED), *range(RATED + 4, ITEMS)}


def test_scores_of_samples_do_not_depend_on_the_share(make: Make, table: Tensor) -> None:
    history = make_history(2, 6)
    assert torch.equal(make(share=0.4).score(history, table), make(share=0.0).score(history, table))


def test_ranking_is_independent_of_chunk_size(
    make: Make, space: Space, table: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = make_history(4, 6)
    half = Catalogue(space, [str(i) for i in range(ITEMS)], table.half())
    predictor = make(share=0.3)
    whole, best = predictor.rank(history, half), predictor.top(history, half, 7)
    monkeypatch.setattr(inference, "SCORES_AT_ONCE", 4 * 9)
    torch.testing.assert_close(predictor.rank(history, half), whole)
    assert torch.equal(predictor.top(history, half, 7)[0], best[0])


@pytest.mark.parametrize("only_rated", [True, False])
def test_a_catalogue_of_only_rated_or_only_new_items_is_ranked_by_score(
    make: Make, space: Space, table: Tensor, rated: Tensor, only_rated: bool
) -> None:
    history, some = make_history(4, 6), rated if only_rated else ~rated
    catalogue = Catalogue(space, [str(i) for i in range(int(some.sum()))], table[some])
    unseen = replace(history, items_BK=torch.full_like(history.items_BK, -1))
    assert torch.equal(make(share=0.3).rank(unseen, catalogue), make(share=0.0).rank(unseen, catalogue))


def test_without_likes_new_items_are_ranked_by_score(make: Make, catalogue: Catalogue, rated: Tensor) -> None:
    history = make_history(2, 6)
    history.ratings_BK = -history.ratings_BK.abs()
    new, scored = (make(share=share).rank(history, catalogue)[:, ~rated].softmax(1) for share in (0.3, 0.0))
    torch.testing.assert_close(new, scored)


def test_a_checkpoint_stores_the_rated_items(make: Make, catalogue: Catalogue, tmp_path: Path) -> None:
    history, predictor = make_history(3, 6), make(share=0.3)
    predictor.save(tmp_path / "prior.safetensors")
    loaded = TrainedPredictor.load(tmp_path / "prior.safetensors")
    assert torch.equal(loaded.rank(history, catalogue), predictor.rank(history, catalogue))


def test_by_default_a_new_item_is_as_probable_as_the_average_one(
    make: Make, catalogue: Catalogue, rated: Tensor
) -> None:
    history = make_history(3, 6)
    history.items_BK.fill_(-1)  # so that all items are candidates
    probability_BN = make().rank(history, catalogue).softmax(1)
    torch.testing.assert_close(probability_BN[:, ~rated].sum(1), torch.full((3,), (ITEMS - RATED) / ITEMS))


def test_one_new_item_among_many_does_not_rank_first_for_everybody(
    space: Space, table: Tensor, catalogue: Catalogue
) -> None:
    """With a fixed share it would: all of it would be that item's."""
    prior = make_prior(space)
    retriever = ColdStart(retriever=make_retriever(space, scale=prior.scale))
    model = make_model(space, retriever, prior=prior)
    model.prepare(training_data(space, table, (torch.arange(ITEMS) < ITEMS - 1).long()))
    predictor = TrainedPredictor(model=model, objective=Regression(), sampler=Sampler())
    history = make_history(20, 6)
    history.items_BK.fill_(-1)
    probability_BN = predictor.rank(history, catalogue).softmax(1)
    torch.testing.assert_close(probability_BN[:, -1], torch.full((20,), 1 / ITEMS))
    retriever.share = 0.9
    assert bool((predictor.rank(history, catalogue).argmax(1) == ITEMS - 1).all())


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_out_of_range_is_refused(space: Space, share: float) -> None:
    with pytest.raises(ValueError, match="below 1"):
        ColdStart(retriever=make_retriever(space), share=share)


def test_a_share_needs_a_softmax_loss(space: Space) -> None:
    with pytest.raises(ValueError, match="softmax_weight"):
        ColdStart(retriever=make_retriever(space, loss=ContrastiveLoss(softmax_weight=0.0)))


def test_a_sharpness_out_of_range_is_refused(space: Space) -> None:
    with pytest.raises(ValueError, match="sharpness"):
        ColdStart(retriever=make_retriever(space), sharpness=0.0)
