"""The mixture of scores: least squares within users, never negative, and the expected rating alone until it saw
anything."""

import torch
from torch import Tensor

from prefprior.models.rating.mixture import Mixture


def columns(weights: tuple[float, float], seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    draws = torch.Generator().manual_seed(seed)
    expected_BT, score_BT = torch.randn(2, 200, 12, generator=draws)
    level_B1 = 3 * torch.randn(200, 1, generator=draws)  # of a score, which differs between users
    rating_BT = weights[0] * expected_BT + weights[1] * score_BT + 0.1 * torch.randn(200, 12, generator=draws) + 0.4
    return torch.stack([expected_BT, score_BT + level_B1]), rating_BT, torch.rand(200, 12, generator=draws) < 0.8


def test_weights_are_found_whatever_the_level_of_a_users_scores() -> None:
    mixture = Mixture(2)
    mixture.see(*columns((0.5, 0.2)))
    torch.testing.assert_close(mixture.weights_S, torch.tensor([0.5, 0.2]), atol=0.02, rtol=0)


def test_batches_add_up() -> None:
    parts, whole = columns((0.5, 0.2)), Mixture(2)
    whole.see(*parts)
    halves = Mixture(2)
    score_SBT, rating_BT, valid_BT = parts
    halves.see(score_SBT[:, :90], rating_BT[:90], valid_BT[:90])
    halves.see(score_SBT[:, 90:], rating_BT[90:], valid_BT[90:])
    torch.testing.assert_close(halves.weights_S, whole.weights_S)
    torch.testing.assert_close(halves.level, whole.level)


def test_a_new_pass_forgets_the_last() -> None:
    mixture, fresh = Mixture(2), Mixture(2)
    mixture.see(*columns((0.1, 0.9)))
    mixture.begin()
    mixture.see(*columns((0.5, 0.2), seed=1))
    fresh.see(*columns((0.5, 0.2), seed=1))
    assert torch.equal(mixture.weights_S, fresh.weights_S)


def test_no_weight_is_negative() -> None:
    mixture = Mixture(2)
    mixture.see(*columns((0.5, -0.3)))
    assert mixture.weights_S[1] == 0
    assert mixture.weights_S[0] > 0.4


def test_ratings_are_met_on_average() -> None:
    score_SBT, rating_BT, valid_BT = columns((0.5, 0.2))
    mixture = Mixture(2)
    mixture.see(score_SBT, rating_BT, valid_BT)
    error_BT = mixture(score_SBT) - rating_BT
    assert abs(float(error_BT[valid_BT].mean())) < 1e-4


def test_until_it_saw_anything_the_expected_rating_stands_alone() -> None:
    score_SBT, _, _ = columns((0.5, 0.2))
    assert torch.equal(Mixture(2)(score_SBT), score_SBT[0])


def test_a_score_that_says_nothing_gets_no_weight() -> None:
    score_SBT, rating_BT, valid_BT = columns((0.5, 0.2))
    mixture = Mixture(3)
    mixture.see(torch.cat([score_SBT, torch.zeros_like(score_SBT[:1])]), rating_BT, valid_BT)
    torch.testing.assert_close(mixture.weights_S, torch.tensor([0.5, 0.2, 0.0]), atol=0.02, rtol=0)


def test_the_prior_dominates_few_ratings() -> None:
    parts = columns((0.0, 1.0))
    few, many = Mixture(2), Mixture(2)
    score_SBT, rating_BT, valid_BT = parts
    few.see(score_SBT[:, :1, :3], rating_BT[:1, :3], valid_BT[:1, :3])
    many.see(*parts)
    assert few.weights_S[0] > 0.5 > many.weights_S[0]
