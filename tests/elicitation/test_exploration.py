"""Exploration: every item can be shown, with the probability that is told."""

import pytest
import torch

from prefprior.elicitation.exploration import Exploration
from prefprior.elicitation.questions import Kind, Question

OPEN = torch.arange(12) != 11
CHOSEN = Question(Kind(3), (4, 0, 7))


def test_items_are_shown_as_often_as_their_propensities_say() -> None:
    exploration, draws, rounds = Exploration(0.3), torch.Generator().manual_seed(0), 20_000
    shown = torch.zeros(12)
    told: dict[int, float] = {}
    for _ in range(rounds):
        question, propensities = exploration.mixed(CHOSEN, OPEN, draws)
        shown[list(question.items)] += 1
        told |= dict(zip(question.items, propensities, strict=True))
    assert set(told) == set(range(11)), "all that are open, and no other"
    for item, propensity in told.items():
        assert abs(float(shown[item]) / rounds - propensity) < 0.015


def test_weights_of_one_over_propensity_are_unbiased() -> None:
    """The sum over open items of any value, from what was shown alone."""
    exploration, draws = Exploration(0.3), torch.Generator().manual_seed(1)
    value = torch.arange(12).float()
    estimates = []
    for _ in range(20_000):
        question, propensities = exploration.mixed(CHOSEN, OPEN, draws)
        estimates.append(sum(float(value[i]) / p for i, p in zip(question.items, propensities, strict=True)))
    mean, error = torch.tensor(estimates).mean(), torch.tensor(estimates).std() / len(estimates) ** 0.5
    assert abs(float(mean - value[:11].sum())) < 4 * float(error)


def test_no_item_is_shown_twice() -> None:
    draws = torch.Generator().manual_seed(2)
    for _ in range(200):
        question, _ = Exploration(0.9).mixed(CHOSEN, OPEN, draws)
        assert len(set(question.items)) == 3


def test_the_same_seed_shows_the_same() -> None:
    one, other = (Exploration().mixed(CHOSEN, OPEN, torch.Generator().manual_seed(3)) for _ in range(2))
    assert one == other


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1])
def test_shares_without_a_propensity_are_refused(share: float) -> None:
    with pytest.raises(ValueError, match=r"exploration\.share"):
        Exploration(share)


def test_too_few_open_candidates_are_refused() -> None:
    with pytest.raises(ValueError, match="needs 6 open candidates"):
        Exploration().mixed(CHOSEN, torch.arange(12) < 3, torch.Generator())
