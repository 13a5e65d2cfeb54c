"""The mixture of two scores: non-negative least squares within users, with a prior on the expected rating."""

import torch
from torch import Tensor

from prefprior.models.rating.mixture import Mixture


def columns(weights: tuple[float, float], seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    draws = torch.Generator().manual_seed(seed)
    expected_BT, score_BT = torch.randn(2, 200, 12, generator=draws)
    level_B1 = 3 * torch.randn(200, 1, generator=draws)  # of a score, which differs between users
    rating_BT = weights[0] * expected_BT + weights[1] * score_BT + 0.1 * torch.randn(200, 12, generator=draws) + 0.4
    return expected_BT, score_BT + level_B1, rating_BT, torch.rand(200, 12, generator=draws) < 0.8


def test_weights_do_not_depend_on_the_level_of_a_users_scores() -> None:
    mixture = Mixture()
    mixture.see(*columns((0.5, 0.2)))
    torch.testing.assert_close(mixture.weights_2, torch.tensor([0.5, 0.2]), atol=0.02, rtol=0)


def test_batches_give_the_same_weights_as_the_whole() -> None:
    parts, whole = columns((0.5, 0.2)), Mixture()
    whole.see(*parts)
    halves = Mixture()
    halves.see(*(part[:90] for part in parts))
    halves.see(*(part[90:] for part in parts))
    torch.testing.assert_close(halves.weights_2, whole.weights_2)
    torch.testing.assert_close(halves.level, whole.level)


def test_a_new_pass_starts_from_zero() -> None:
    mixture, fresh = Mixture(), Mixture()
    mixture.see(*columns((0.1, 0.9)))
    mixture.begin()
    mixture.see(*columns((0.5, 0.2), seed=1))
    fresh.see(*columns((0.5, 0.2), seed=1))
    assert torch.equal(mixture.weights_2, fresh.weights_2)


def test_no_weight_is_negative() -> None:
    mixture = Mixture()
    mixture.see(*columns((0.5, -0.3)))
    assert mixture.weights_2[1] == 0
    assert mixture.weights_2[0] > 0.4


def test_predictions_are_unbiased() -> None:
    expected_BT, score_BT, rating_BT, valid_BT = columns((0.5, 0.2))
    mixture = Mixture()
    mixture.see(expected_BT, score_BT, rating_BT, valid_BT)
    error_BT = mixture(expected_BT, score_BT) - rating_BT
    assert abs(float(error_BT[valid_BT].mean())) < 1e-4


def test_without_data_the_mixture_is_the_expected_rating() -> None:
    expected_BT, score_BT, _, _ = columns((0.5, 0.2))
    assert torch.equal(Mixture()(expected_BT, score_BT), expected_BT)


def test_the_prior_dominates_few_ratings() -> None:
    parts = columns((0.0, 1.0))
    few, many = Mixture(), Mixture()
    few.see(*(part[:1, :3] for part in parts))
    many.see(*parts)
    assert few.weights_2[0] > 0.5 > many.weights_2[0]
