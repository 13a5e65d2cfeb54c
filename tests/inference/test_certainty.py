"""How sure a predictor is: how close together its draws are, and what that means among validation users."""

import pytest
import torch
from torch.nn.functional import normalize

from prefprior.inference.certainty import Certainty, bare, spread
from prefprior.models.diffusion.guidance import Guidance
from prefprior.models.diffusion.sampler import Sampler


def test_spread_is_0_for_any_direction_and_1_for_a_single_one() -> None:
    draws = torch.Generator().manual_seed(0)
    anything = normalize(torch.randn(200, 16, 32, generator=draws), dim=-1)
    assert float(spread(anything).square().mean()) < 0.01  # though the mean of 16 vectors is a quarter long
    one = normalize(torch.ones(1, 5, 32), dim=-1)
    assert float(spread(one)[0]) == pytest.approx(1, abs=1e-4)


def test_spread_does_not_depend_on_the_number_of_draws() -> None:
    draws = torch.Generator().manual_seed(0)
    near = normalize(torch.eye(32)[0] + 0.3 * torch.randn(400, 64, 32, generator=draws), dim=-1)
    few, many = spread(near[:, :4]).square().mean(), spread(near).square().mean()
    assert float(few) == pytest.approx(float(many), rel=0.05)


def test_bare_draws_have_no_guidance_and_no_selection() -> None:
    sampler = bare(Sampler(steps=7, guidance=Guidance(history=3, rating=1), candidates=8))
    assert (sampler.steps, sampler.candidates, sampler.guidance.history, sampler.guidance.rating) == (7, 1, 1, 0)


def test_words_follow_validation_users() -> None:
    certainty = Certainty(little=0.1, much=0.3)
    assert [certainty.in_words(at) for at in (0.05, 0.1, 0.29, 0.3)] == [
        "still guessing", "getting closer", "getting closer", "sure",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "facts",
    [{}, {"certainty": None}, {"certainty": 3}, {"certainty": {"little": 0.1}},
     {"certainty": {"little": 0.4, "much": 0.2}},
     {"certainty": {"little": float("nan"), "much": 0.2}}, {"certainty": {"little": "0.1", "much": 0.2}}],
)  # fmt: skip
def test_what_a_checkpoint_cannot_mean_is_not_told(facts: dict[str, object]) -> None:
    assert Certainty.told(facts) is None
    assert Certainty.told({"certainty": Certainty(0.1, 0.3).plain()}) == Certainty(0.1, 0.3)
