"""Guidance: neutral scales change nothing, and each direction is the one it says."""

import torch
from torch import Tensor

from prefprior.history import History
from prefprior.inference.guidance import guided
from prefprior.models.diffusion.guidance import Guidance
from prefprior.models.diffusion.schedules import LinearSchedule
from prefprior.models.objectives.denoising import Denoising
from prefprior.models.prior.prior import Prior
from tests.models.conftest import DIM, make_history

OBJECTIVE = Denoising(schedule=LinearSchedule(), prediction="velocity")


def seen(prior: Prior, guidance: Guidance, rating: float = 1.0, history: History | None = None) -> Tensor:
    """What is seen behind the same noise under some guidance (B, S, D)."""
    history = history or make_history(3, 6)
    encoded, null = prior.encode_history(history), prior.encode_history(history.empty())
    denoise = guided(prior, OBJECTIVE, guidance, encoded, null, torch.full((3,), rating))
    with torch.no_grad():
        return denoise(torch.randn(3, 4, DIM, generator=torch.Generator().manual_seed(0)), torch.tensor(0.6))


def test_neutral_guidance_is_the_plain_prediction(prior: Prior) -> None:
    encoded = prior.encode_history(make_history(3, 6))
    noisy = torch.randn(3, 4, DIM, generator=torch.Generator().manual_seed(0))
    condition = prior.condition(encoded, torch.ones(3, 1))
    plain = OBJECTIVE.denoise(prior, noisy[:, None], torch.tensor(0.6).view(1, 1, 1), condition)[:, 0]
    torch.testing.assert_close(seen(prior, Guidance()), plain)


def test_guidance_follows_its_formula(prior: Prior) -> None:
    """loved + scale * (loved - hated), and the same for the history."""
    loved, hated = seen(prior, Guidance()), seen(prior, Guidance(), rating=-1.0)
    torch.testing.assert_close(seen(prior, Guidance(rating=0.7)), loved + 0.7 * (loved - hated))
    assert not torch.allclose(loved, hated, atol=1e-2)
    history = make_history(3, 6)
    history.valid_BK[:] = False
    unknown = seen(prior, Guidance(), history=history)
    expected = loved + 1.5 * (loved - unknown)
    torch.testing.assert_close(seen(prior, Guidance(history=2.5)), expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(loved, unknown, atol=1e-2)


def test_history_guidance_has_no_effect_on_an_empty_history(prior: Prior) -> None:
    history = make_history(3, 6)
    history.valid_BK[:] = False
    torch.testing.assert_close(
        seen(prior, Guidance(history=5.0), history=history),
        seen(prior, Guidance(), history=history),
        rtol=1e-3,
        atol=1e-3,
    )
