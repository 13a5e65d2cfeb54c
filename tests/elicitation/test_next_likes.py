"""Imagined users of models whose generator cannot draw: their items are drawn by the scores of the retriever."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from prefprior.data.held_out import HeldOutUsers
from prefprior.data.scaling import PersonScale
from prefprior.elicitation import next_likes as module
from prefprior.elicitation.answer_model import AnswerModel
from prefprior.elicitation.belief import Belief, Moves
from prefprior.elicitation.next_likes import LENGTHS, Generated, Items, next_likes
from prefprior.elicitation.questions import Kind, Question
from prefprior.elicitation.tastes import Tastes
from prefprior.history import History
from prefprior.inference.predictor import TrainedPredictor
from prefprior.models.diffusion.sampler import Sampler
from prefprior.models.diffusion.schedules import CosineSchedule
from prefprior.models.objectives.denoising import Denoising
from prefprior.models.objectives.objective import Objective
from prefprior.models.objectives.regression import Regression
from prefprior.predictor import By, Catalogue
from prefprior.ratings import RatingScale
from prefprior.space import Space
from tests.models.conftest import DIM, make_model

ITEMS = 30
STRANGER = History.of(torch.zeros(0, DIM), [], ages_K=[], user="")


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    raw_ND = torch.randn(ITEMS, DIM, generator=torch.Generator().manual_seed(5))
    return Catalogue(Space.measure("test", raw_ND.numpy()), [str(i) for i in range(ITEMS)], raw_ND)


def likes_only(catalogue: Catalogue, objective: Objective, retriever: str | None = "identity") -> TrainedPredictor:
    """As `experiment=likes` makes them, untrained."""
    return TrainedPredictor(
        model=make_model(catalogue.space, retriever), objective=objective, sampler=Sampler(steps=2)
    )  # fmt: skip


class Camps(TrainedPredictor):
    """Of two camps of items, whoever likes one item of a camp likes the others."""

    two_scores = False

    def __init__(self, space: Space) -> None:
        self._space = space

    @property
    def space(self) -> Space:
        return self._space

    def rank(self, history: History, catalogue: Catalogue, by: By = "interaction") -> Tensor:
        liked_BD = (history.embeddings_BKD * history.liked_BK[..., None]).sum(1)
        return 2 * liked_BD[:, :1] * catalogue.embeddings_ND[:, 0]


@pytest.fixture
def camps() -> Items:
    """20 items of each."""
    raw_ND = torch.randn(40, DIM, generator=torch.Generator().manual_seed(7))
    raw_ND[:, 0] = torch.tensor([1.0, -1.0]).repeat_interleave(20)
    space = Space.measure("test", raw_ND.numpy())
    return Items.of(Camps(space), Catalogue(space, [str(i) for i in range(40)], raw_ND), torch.Generator())


def imagined(likes: Items, count: int, length: int, seed: int = 0) -> Tastes:
    reference_RD = likes.catalogue.embeddings_ND
    return Tastes.imagine(likes, STRANGER, reference_RD, count, length, torch.Generator().manual_seed(seed))


def places(likes: Items, tastes: Tastes) -> Tensor:
    """(P, V) which items they like."""
    return likes.known.place(tastes.imagined_PVD)


@pytest.mark.parametrize("objective", [Regression(answers=2), Denoising(schedule=CosineSchedule())])
def test_a_generator_that_can_draw_does(catalogue: Catalogue, objective: Objective) -> None:
    found = next_likes(likes_only(catalogue, objective), catalogue, None, 3, torch.Generator())
    assert isinstance(found, Generated)
    assert len(found.draw(STRANGER, 3, torch.Generator().manual_seed(0))[0].unique(dim=0)) == 3


def test_a_generator_that_cannot_draw_leaves_it_to_the_retriever(catalogue: Catalogue) -> None:
    predictor = likes_only(catalogue, Regression(answers=1))
    twice = predictor.sample(STRANGER, 2, torch.Generator().manual_seed(0))[0]
    assert torch.equal(twice[0], twice[1])
    likes = next_likes(predictor, catalogue, None, 5, torch.Generator().manual_seed(0))
    assert isinstance(likes, Items)
    tastes, same = imagined(likes, 12, 5), imagined(likes, 12, 5)
    assert len({tuple(sorted(rows)) for rows in places(likes, tastes).tolist()}) > 8
    assert (places(likes, tastes) >= 0).all()
    assert torch.equal(tastes.imagined_PVD, same.imagined_PVD)


def test_draws_follow_the_softmax_of_the_scores(catalogue: Catalogue) -> None:
    predictor = likes_only(catalogue, Regression(answers=1))
    known = History.of(catalogue.embeddings_ND[:2], [1.0, 1.0], ages_K=[1.0, 0.0], user="")
    many, likes = 20_000, Items.of(predictor, catalogue, torch.Generator())
    score_N = predictor.rank(known, likes.catalogue)[0]
    score_N[likes.known.place(catalogue.embeddings_ND[:2])] = -torch.inf  # what they have
    expected_N = score_N.softmax(0)
    place_B1 = likes.known.place(likes.draw(known.take([0] * many), 1, torch.Generator().manual_seed(0)))
    share_N = torch.bincount(place_B1[:, 0], minlength=ITEMS) / many
    assert expected_N.max() > 2 * expected_N[expected_N > 0].min(), "the scores differ"
    torch.testing.assert_close(share_N, expected_N, atol=5 * (0.25 / many) ** 0.5, rtol=0)


def test_no_user_has_an_item_twice(camps: Items) -> None:
    tastes, draws = imagined(camps, 30, 19), torch.Generator().manual_seed(1)
    for some in (tastes, tastes.regrown(9, draws), tastes.regrown(0, draws)):
        assert all(len(set(rows)) == 19 for rows in places(camps, some).tolist())


def test_items_that_look_the_same_are_one(catalogue: Catalogue) -> None:
    raw_ND = torch.cat([catalogue.embeddings_ND[:5]] * 2)
    twice = Catalogue(catalogue.space, [str(i) for i in range(10)], raw_ND)
    likes = Items.of(likes_only(catalogue, Regression(answers=1)), twice, torch.Generator())
    assert len(imagined(likes, 1, 5).imagined_PVD[0].unique(dim=0)) == 5


def test_answers_tell_one_camp_from_the_other(camps: Items) -> None:
    """A stranger may be of either; who chooses items of one camp is believed to like the rest of it."""
    raw_ND, model = camps.catalogue.embeddings_ND, AnswerModel(temperature=0.5, lapse=0.01)
    one, other = ((raw_ND[:, 0] == camp).nonzero()[:, 0] for camp in (1, -1))
    tastes = imagined(camps, 200, 6)
    belief = Belief(tastes, raw_ND, tastes.utilities(raw_ND), model, Moves(below=1e9, tastes=60, rounds=2))
    assert abs(belief.expected(raw_ND)[one].mean()) < 0.3
    for shown in zip(one[:3].tolist(), other[:3].tolist(), strict=True):
        belief.observe(Question(Kind(2), shown).chosen([shown[0]]))
    assert belief.expected(raw_ND)[one[3:]].mean() > 0.8
    belief.look(torch.Generator().manual_seed(2))
    assert len(belief.tastes.imagined_PVD.unique(dim=0)) > 30, "moved, not only copied"
    assert belief.expected(raw_ND)[one[3:]].mean() > 0.8
    torch.testing.assert_close(belief.utility_PN, belief.tastes.utilities(raw_ND))


@pytest.mark.parametrize("true", [0.5, 1.0])
def test_temperatures_come_back(camps: Items, true: float) -> None:
    """Users who like what the scores, sharper or blunter, would have them like."""
    users = 2000
    truth = replace(camps, sharpness_L=torch.full((len(LENGTHS),), true))
    raw_BVD = imagined(truth, users, 2).imagined_PVD
    rated = camps.known.place(raw_BVD)
    people = HeldOutUsers(
        users=[str(user) for user in range(users)],
        catalogue=camps.catalogue,
        scale=PersonScale(RatingScale(low=0, high=1, likes_from=1, liked_only=True), "scale", 1.0, 0.0, 1.0),
        item_BK=rated[:, :1],
        raw_BK=torch.ones(users, 1),
        question_BK=torch.zeros(users, 1, dtype=torch.long),
        seen_item_BS=rated[:, :1],
        held_item_BT=rated[:, 1:],
        held_rating_BT=torch.ones(users, 1),
        held_liked_BT=torch.ones(users, 1, dtype=torch.bool),
        held_asked_BT=torch.zeros(users, 1, dtype=torch.bool),
    )
    assert camps.fitted(people).sharpness_L[1] == true
    assert torch.equal(camps.fitted(people.take(torch.arange(0))).sharpness_L, camps.sharpness_L)


def test_of_a_large_catalogue_some_items_are_drawn(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ITEMS", 10)
    likes = next_likes(
        likes_only(catalogue, Regression(answers=1)), catalogue, None, 4, torch.Generator().manual_seed(0)
    )
    assert isinstance(likes, Items)
    assert len(likes.catalogue) == 10
    assert set(likes.catalogue.ids) < set(catalogue.ids)
    assert len(imagined(likes, 3, 4)) == 3


def test_without_scores_nobody_can_be_imagined(catalogue: Catalogue) -> None:
    predictor = likes_only(catalogue, Regression(answers=1), retriever=None)
    with pytest.raises(ValueError, match=r"users cannot be imagined.*no retriever.*objective=flow"):
        next_likes(predictor, catalogue, None, 4, torch.Generator())


def test_a_user_cannot_like_more_items_than_there_are(catalogue: Catalogue) -> None:
    with pytest.raises(ValueError, match=r"imagined=31 items, and there are 30"):
        next_likes(likes_only(catalogue, Regression(answers=1)), catalogue, None, 31, torch.Generator())
