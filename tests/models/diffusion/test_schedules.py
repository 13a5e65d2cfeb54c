"""Schedules: what is predicted and what it means are inverse to each other; slopes are slopes."""

import math

import pytest
import torch

from prefprior.models.diffusion.schedules import PREDICTIONS, CosineSchedule, LinearSchedule, Schedule

SCHEDULES = [LinearSchedule(), CosineSchedule(), CosineSchedule(shift=0.5), CosineSchedule(shift=2.0)]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_every_prediction_target_recovers_x0(schedule: Schedule, prediction: str) -> None:
    g = torch.Generator().manual_seed(0)
    x0, eps = (torch.randn(40, 7, generator=g, dtype=torch.float64) for _ in range(2))
    t = torch.linspace(schedule.first, schedule.last, 40, dtype=torch.float64)
    a, b = schedule.coefficients(prediction, t)
    output = a[:, None] * x0 + b[:, None] * eps
    torch.testing.assert_close(
        schedule.x0_from(prediction, output, schedule.noisy(x0, eps, t), t), x0, rtol=1e-8, atol=1e-8
    )


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_slopes_are_the_derivatives(schedule: Schedule) -> None:
    t = torch.linspace(0.01, 0.95, 30, dtype=torch.float64, requires_grad=True)
    alpha, sigma = schedule.alpha_sigma(t)
    (alpha_slope,) = torch.autograd.grad(alpha.sum(), t, retain_graph=True)
    (sigma_slope,) = torch.autograd.grad(sigma.sum(), t)
    torch.testing.assert_close(schedule.slopes(t.detach()), (alpha_slope, sigma_slope))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_ends_are_data_and_noise(schedule: Schedule) -> None:
    alpha, sigma = schedule.alpha_sigma(torch.tensor([0.0, schedule.last], dtype=torch.float64))
    assert alpha[0] == 1
    assert sigma[0] == 0
    assert 0 < alpha[1] <= 0.0101
    assert sigma[1] > 0.98


def test_shift_moves_the_log_snr_and_keeps_the_variance() -> None:
    t = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
    alpha, sigma = CosineSchedule().alpha_sigma(t)
    shifted_alpha, shifted_sigma = CosineSchedule(shift=0.5).alpha_sigma(t)
    torch.testing.assert_close(shifted_alpha**2 + shifted_sigma**2, torch.ones_like(t))
    moved = 2 * (shifted_alpha / shifted_sigma).log() - 2 * (alpha / sigma).log()
    torch.testing.assert_close(moved, torch.full_like(t, 2 * math.log(0.5)))


def test_an_unknown_prediction_target_is_refused() -> None:
    with pytest.raises(ValueError, match="prediction must be one of eps"):
        LinearSchedule().coefficients("score", torch.tensor(0.5))
