"""Calibration: what users answer by is found again."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from prefprior.data.held_out import HeldOutUsers
from prefprior.data.scaling import PersonScale
from prefprior.elicitation import calibration
from prefprior.elicitation.answer_model import AnswerModel, graded
from prefprior.elicitation.people import Levels
from prefprior.predictor import Catalogue
from prefprior.ratings import RatingScale, RatingsTable
from prefprior.space import Space
from tests.data.small import ratings

SCALE = PersonScale(RatingScale(low=1, high=5, likes_from=4), "scale", 1.0, 3.0, 1.0)
LEVELS = Levels.of(SCALE, np.array([1.0, 2, 3, 4, 5]))
THRESHOLDS = torch.tensor([-0.8, 0.1, 0.9, 2.0])


def people(level_BT: torch.Tensor) -> HeldOutUsers:
    """Users with these levels held out."""
    users, held = level_BT.shape
    space = Space.measure("test", np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32))
    none_B1 = torch.full((users, 1), -1)
    return HeldOutUsers(
        users=[str(user) for user in range(users)],
        catalogue=Catalogue(space, [str(item) for item in range(held)], torch.zeros(held, 4)),
        scale=SCALE,
        item_BK=none_B1,
        raw_BK=torch.zeros(users, 1),
        question_BK=torch.zeros(users, 1, dtype=torch.long),
        seen_item_BS=none_B1,
        held_item_BT=torch.arange(held).expand(users, -1),
        held_rating_BT=level_BT / 2 - 1.0,
        held_liked_BT=level_BT >= 3,
        held_asked_BT=torch.zeros_like(level_BT, dtype=torch.bool),
    )


def test_thresholds_come_back() -> None:
    draws = torch.Generator().manual_seed(0)
    utility_BT = 1.5 * torch.randn(300, 20, generator=draws)
    chance_BTL = graded(utility_BT, THRESHOLDS, 0.3).movedim(0, -1)
    level_BT = torch.multinomial(chance_BTL.flatten(0, 1), 1, generator=draws).view(300, 20)
    found = calibration._with_thresholds(AnswerModel(lapse=0.0), people(level_BT), utility_BT, LEVELS)
    torch.testing.assert_close(found.thresholds, THRESHOLDS, atol=0.12, rtol=0)
    assert found.spread == pytest.approx(0.3, abs=0.06)
    assert found.liked_from == pytest.approx(0.9, abs=0.12)


def test_choices_are_among_pictures_drawn_at_random_and_have_one_best() -> None:
    draws = torch.Generator().manual_seed(0)
    level_BT = torch.randint(5, (50, 12), generator=draws)
    option_SM = calibration._best_of_rated(people(level_BT), level_BT.float(), 4, draws)
    assert option_SM.shape[1] == 4
    assert (option_SM[:, :1] > option_SM[:, 1:]).all()
    assert len(option_SM) <= 50 * calibration.CHOICES


def test_users_with_equal_ratings_tell_nothing() -> None:
    equal_BT = torch.full((5, 12), 3)
    assert len(calibration._best_of_rated(people(equal_BT), equal_BT.float(), 4, torch.Generator())) == 0


def asked(questions: int) -> RatingsTable:
    """Of each user's 28 rows the first are those of some questions of four; the others are ratings in the middle."""
    table = ratings(users=6, items=40, each=28)
    question_N, rating_N = np.full(len(table), -1), np.full(len(table), 3.0, dtype=np.float32)
    for user in range(6):
        first = int(np.flatnonzero(table.user_N == user)[0])
        for number, start in enumerate(range(first, first + 4 * questions, 4)):
            question_N[start : start + 4], rating_N[start : start + 4] = number, 1
            rating_N[start] = 5
    return replace(table, question_N=question_N, rating_N=rating_N, scale=SCALE.scale)


def catalogue() -> Catalogue:
    space = Space.measure("test", np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32))
    return Catalogue(space, list(map(str, range(40))), torch.randn(40, 4))


def test_users_who_only_chose_are_refused() -> None:
    nobody: Any = None  # nothing is computed
    with pytest.raises(ValueError, match="validation users have no ratings to calibrate answers"):
        calibration.calibrate(
            nobody, asked(7), catalogue(), SCALE, LEVELS, nobody, shown=2, most=9, generator=torch.Generator()
        )


def test_a_pick_is_a_like_of_the_history_and_no_rating_that_is_held_out() -> None:
    found = calibration._halves(asked(3), catalogue(), SCALE)
    assert len(found) > 3
    assert (found.held_rating_BT[found.held_valid_BT] == 0).all()  # the middle: no pick, nothing passed over
    assert not found.history().has_questions
    assert set(found.raw_BK[found.valid_BK].tolist()) == {3.0, 5.0}
