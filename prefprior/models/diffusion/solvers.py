"""Solvers: from noise to data, as functions of a `denoise` callable and a schedule. No network, no objective in here.

`denoise(x, t)` gives the clean x_0 behind x at time t (a tensor with one element). Shapes: `...` any, D dimension.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from prefprior.models.diffusion.schedules import Schedule

Denoise = Callable[[Tensor, Tensor], Tensor]
Solver = Callable[[Denoise, Schedule, Tensor, int], Tensor]


def times(schedule: Schedule, steps: int, like: Tensor) -> Tensor:
    """Where a solver stops on its way: `steps` equal steps from the noisy end to 0."""
    if steps < 1:
        raise ValueError(f"a solver needs at least 1 step, got {steps}")
    return torch.linspace(schedule.last, 0.0, steps + 1, dtype=torch.float32, device=like.device)


def one_step(denoise: Denoise, schedule: Schedule, noise: Tensor, steps: int = 1) -> Tensor:
    """The clean embedding seen from pure noise at once."""
    if steps != 1:
        raise ValueError(f"one_step takes 1 step, got {steps}")
    return denoise(noise, times(schedule, 1, noise)[0])


def euler(denoise: Denoise, schedule: Schedule, noise: Tensor, steps: int) -> Tensor:
    """Straight steps in the plane of (alpha, sigma): DDIM (Song et al. 2020, arXiv:2010.02502, eq. 12 without noise)
    on a variance-preserving schedule, Euler's method for the velocity on the linear one.
    """
    t = times(schedule, steps, noise)
    alpha, sigma = schedule.alpha_sigma(t)
    x = sigma[0] * noise
    for i in range(steps):
        x0 = denoise(x, t[i])
        eps = (x - alpha[i] * x0) / sigma[i]
        x = alpha[i + 1] * x0 + sigma[i + 1] * eps
    return x


def heun(denoise: Denoise, schedule: Schedule, noise: Tensor, steps: int) -> Tensor:
    """Heun's second-order steps in the same plane (as Karras et al. 2022, arXiv:2206.00364, alg. 1, in theirs); the
    last is Euler's, because at 0 there is no noise to tell from the data. Looks through the network 2 steps - 1 times.
    """
    t = times(schedule, steps, noise)
    alpha, sigma = schedule.alpha_sigma(t)
    x = sigma[0] * noise
    for i in range(steps):
        x0 = denoise(x, t[i])
        eps = (x - alpha[i] * x0) / sigma[i]
        ahead = alpha[i + 1] * x0 + sigma[i + 1] * eps
        if i + 1 < steps:
            x0_ahead = denoise(ahead, t[i + 1])
            eps_ahead = (ahead - alpha[i + 1] * x0_ahead) / sigma[i + 1]
            ahead = (
                x + (alpha[i + 1] - alpha[i]) * (x0 + x0_ahead) / 2 + (sigma[i + 1] - sigma[i]) * (eps + eps_ahead) / 2
            )
        x = ahead
    return x


SOLVERS: dict[str, Solver] = {"one_step": one_step, "euler": euler, "heun": heun}
