"""The answer model: closed forms of choices and ratings, and of what an answer tells."""

import math

import pytest
import torch
from torch import Tensor

from prefprior.elicitation.answer_model import AnswerModel
from prefprior.elicitation.questions import Kind, Question

UTILITY = torch.tensor([[1.0, 0.2, -0.4], [-1.0, 0.0, 2.0]])


def certain(**settings: float) -> AnswerModel:
    return AnswerModel(lapse=0.0, **settings)


def test_a_choice_is_a_softmax_with_a_temperature() -> None:
    found = certain(temperature=0.5).probabilities(UTILITY, Kind(3))
    torch.testing.assert_close(found, (UTILITY / 0.5).softmax(1))


def test_none_of_these_is_a_picture_that_is_barely_liked() -> None:
    found = certain(temperature=1.0, liked_from=0.7).probabilities(UTILITY, Kind(3, none=True))
    torch.testing.assert_close(found, torch.cat([UTILITY, torch.full((2, 1), 0.7)], 1).softmax(1))


def test_ratings_are_above_a_level_by_a_sigmoid() -> None:
    model = AnswerModel(lapse=0.0, thresholds=(-1.0, 1.0), spread=0.5)
    low, middle, high = model.probabilities(torch.tensor([[0.4]]), Kind(1))[0].tolist()
    assert high == pytest.approx(1 / (1 + math.exp(0.6 / 0.5)), abs=1e-6)
    assert low == pytest.approx(1 - 1 / (1 + math.exp(-1.4 / 0.5)), abs=1e-6)
    assert low + middle + high == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("kind", [Kind(1), Kind(3), Kind(3, none=True)])
def test_lapses_spread_an_answer_evenly(kind: Kind) -> None:
    utility = UTILITY[:, : kind.shown]
    found = AnswerModel(lapse=1.0).probabilities(utility, kind)
    torch.testing.assert_close(found, torch.full_like(found, 1 / found.shape[1]))


def test_several_picks_are_each_preferred_to_what_was_passed_over() -> None:
    answer = Question(Kind(3), (0, 1, 2)).chosen([0, 1])
    first, second, passed = (UTILITY / 0.4).T
    expected = torch.sigmoid(first - passed).log() + torch.sigmoid(second - passed).log()
    torch.testing.assert_close(certain(temperature=0.4).log_likelihood(UTILITY, answer), expected)


def test_the_likelihood_of_an_answer_is_its_probability() -> None:
    model = AnswerModel(lapse=0.1)
    choice = Question(Kind(3), (5, 6, 7)).chosen([7])
    torch.testing.assert_close(model.log_likelihood(UTILITY, choice).exp(), model.probabilities(UTILITY, Kind(3))[:, 2])
    rating = Question(Kind(1), (5,)).rated(4)
    torch.testing.assert_close(
        model.log_likelihood(UTILITY[:, :1], rating).exp(), model.probabilities(UTILITY[:, :1], Kind(1))[:, 4]
    )


def test_a_level_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no level 7: a rating has levels 0 to 4"):
        AnswerModel().log_likelihood(UTILITY[:, :1], Question(Kind(1), (5,)).rated(7))


def information(utility_PM: Tensor, **settings: float) -> float:
    weight_P = torch.full((len(utility_PM),), 1 / len(utility_PM))
    kind = Kind(utility_PM.shape[1])
    return float(certain(**settings).information(utility_PM[:, None], weight_P, kind))


def test_an_answer_that_tells_tastes_apart_is_worth_a_bit() -> None:
    assert information(torch.tensor([[9.0, -9.0], [-9.0, 9.0]])) == pytest.approx(math.log(2), abs=1e-4)


def test_an_answer_on_which_tastes_agree_is_worth_nothing() -> None:
    assert information(torch.tensor([[3.0, 0.0], [3.0, 0.0]])) == pytest.approx(0, abs=1e-6)


def test_a_noisy_answer_is_worth_less() -> None:
    utility = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert information(utility, temperature=1.0) < information(utility, temperature=0.3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, "answers.temperature must be at least"),
        ({"lapse": 1.5}, "answers.lapse must be at least 0 and at most 1"),
        ({"thresholds": (1.0, 0.0)}, "rising numbers"),
        ({"thresholds": ()}, "rising numbers"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AnswerModel(**settings)


@pytest.mark.parametrize("kind", [Kind(2), Kind(9), Kind(4, none=True)], ids=str)
@pytest.mark.parametrize("size", [1.0, 300.0])
def test_the_information_of_alternatives_is_that_of_each_question(kind: Kind, size: float) -> None:
    """Also where utilities are so far apart that exponentials overflow."""
    draws = torch.Generator().manual_seed(0)
    shown_PK = size * torch.randn(50, kind.shown - 1, generator=draws)
    tried_PS = size * torch.randn(50, 30, generator=draws)
    weight_P = torch.rand(50, generator=draws).softmax(0)
    model = AnswerModel(temperature=0.3, lapse=0.0)
    each_PSM = torch.cat([tried_PS[:, :, None], shown_PK[:, None].expand(-1, 30, -1)], dim=2)
    found_S = model.information_of_alternatives(shown_PK.T, tried_PS.T, weight_P, kind)
    torch.testing.assert_close(found_S, model.information(each_PSM, weight_P, kind), atol=1e-4, rtol=1e-4)
