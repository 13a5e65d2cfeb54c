"""Closed form: with the exact denoiser of a Gaussian, schedule x prediction x solver gives that Gaussian back."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from prefprior.models.diffusion.schedules import PREDICTIONS, CosineSchedule, LinearSchedule, Schedule
from prefprior.models.diffusion.solvers import Ancestral, Euler, Heun, OneStep, Solver
from prefprior.models.objectives.denoising import Denoising

MEAN, SPREAD, COUNT = torch.tensor([1.5, -0.5]), torch.tensor([0.4, 1.3]), 4000


class GaussianPrior:
    """Predicts, for data of N(MEAN, SPREAD^2), exactly what an objective asks for: E[a x_0 + b eps | x_t]."""

    def __init__(self, schedule: Schedule, prediction: str) -> None:
        self.schedule, self.prediction, self.calls = schedule, prediction, 0

    def predict(self, noisy: Tensor, time: Tensor, condition: Any) -> Tensor:
        self.calls += 1
        alpha, sigma = self.schedule.alpha_sigma(time[..., None])
        x0 = MEAN + alpha * SPREAD**2 / (alpha**2 * SPREAD**2 + sigma**2) * (noisy - alpha * MEAN)
        a, b = self.schedule.coefficients(self.prediction, time[..., None])
        return a * x0 + b * (noisy - alpha * x0) / sigma


def sampled(schedule: Schedule, prediction: str, solver: Solver, steps: int) -> tuple[Tensor, int]:
    exact, objective = GaussianPrior(schedule, prediction), Denoising(schedule=schedule, prediction=prediction)
    noise = torch.randn(1, 1, COUNT, 2, generator=torch.Generator().manual_seed(0))
    noise = (noise - noise.mean(2)) / noise.std(2)  # the moments of noise are then exact, and errors the solver's own
    out = solver(
        lambda x, t: objective.denoise(exact, x, t, SimpleNamespace()),
        schedule,
        noise,
        steps,
        [torch.Generator().manual_seed(1)],
    )
    return out[0, 0], exact.calls


@pytest.mark.parametrize("schedule", [LinearSchedule(), CosineSchedule(), CosineSchedule(shift=0.5)])
@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize(("solver", "steps", "calls"), [(Euler(), 250, 250), (Heun(), 40, 79), (Ancestral(), 250, 250)])
def test_a_gaussian_is_recovered(schedule: Schedule, prediction: str, solver: Solver, steps: int, calls: int) -> None:
    out, made = sampled(schedule, prediction, solver, steps)
    assert made == calls
    torch.testing.assert_close(out.mean(0), MEAN, atol=0.03, rtol=0)
    torch.testing.assert_close(out.std(0), SPREAD, atol=0.01, rtol=0.02)


@pytest.mark.parametrize("schedule", [LinearSchedule(), CosineSchedule()])
def test_one_step_is_the_mean(schedule: Schedule) -> None:
    out, calls = sampled(schedule, "x0", OneStep(), 1)
    assert calls == 1
    torch.testing.assert_close(out.mean(0), MEAN, atol=0.03, rtol=0)
    assert (out.std(0) < 0.02).all()


def test_more_steps_and_a_higher_order_reduce_the_error() -> None:
    def error(solver: Solver, steps: int) -> Tensor:
        return (sampled(LinearSchedule(), "velocity", solver, steps)[0].std(0) - SPREAD).abs().max()

    assert error(Euler(), 10) > error(Euler(), 50) > error(Euler(), 200)
    assert error(Heun(), 10) < error(Euler(), 20)


def test_one_euler_step_equals_one_step() -> None:
    one, euler_one = (sampled(CosineSchedule(), "v", solver, 1)[0] for solver in (OneStep(), Euler()))
    # euler starts at sigma * noise, which is where the schedule says that pure noise lies
    torch.testing.assert_close(one, euler_one, atol=1e-4, rtol=1e-4)


def test_a_solver_without_steps_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 step"):
        Euler()(lambda x, t: x, LinearSchedule(), torch.zeros(1, 2), 0)


def test_with_eta_0_ancestral_equals_euler() -> None:
    found, euler = (sampled(CosineSchedule(), "v", solver, 20)[0] for solver in (Ancestral(eta=0.0), Euler()))
    torch.testing.assert_close(found, euler)


def test_fresh_noise_comes_from_the_generator_of_each_row() -> None:
    noise = torch.randn(3, 5, 2, generator=torch.Generator().manual_seed(0))

    def run(rows: list[int]) -> Tensor:
        generators = [torch.Generator().manual_seed(row) for row in rows]
        return Ancestral()(lambda x, t: 0.5 * x, CosineSchedule(), noise[rows], 4, generators)

    torch.testing.assert_close(run([0, 1, 2])[2:], run([2]))


@pytest.mark.parametrize("eta", [-0.1, 1.1])
def test_an_eta_out_of_range_is_refused(eta: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Ancestral(eta=eta)


def test_a_generator_for_each_row_is_needed() -> None:
    with pytest.raises(ValueError, match="each of 3 rows, got 0"):
        Ancestral()(lambda x, t: x, CosineSchedule(), torch.zeros(3, 2), 4)
