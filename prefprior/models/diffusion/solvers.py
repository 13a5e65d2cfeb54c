"""Solvers: from noise to data, given a `denoise` callable and a schedule. No network and no objective in here.

`denoise(x, t)` predicts the clean x_0 from x at time t (a tensor with one element). A solver is a class with arguments
of its own; adding one takes a class and a YAML file (docs: Adding a part).

Shapes: B rows (users), `...` any, D dimension.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from prefprior.models.diffusion.schedules import Schedule
from prefprior.models.recorded import Recorded

Denoise = Callable[[Tensor, Tensor], Tensor]


class Solver(Recorded, ABC):
    """Integrates a `denoise` callable from pure noise to data."""

    stochastic: bool = False  # whether it draws noise on its way, from a generator for each row

    @abstractmethod
    def __call__(
        self,
        denoise: Denoise,
        schedule: Schedule,
        noise: Tensor,
        steps: int,
        generators: Sequence[torch.Generator] = (),
    ) -> Tensor:
        """Data (B, ..., D) from `noise` of that shape. A stochastic solver takes one generator a row, so that what a
        user gets is independent of who else is in the batch."""

    def times(self, schedule: Schedule, steps: int, like: Tensor) -> Tensor:
        """The times it stops at: `steps` equal steps from the noisy end to 0."""
        if steps < 1:
            raise ValueError(f"a solver needs at least 1 step, got {steps}")
        return torch.linspace(schedule.last, 0.0, steps + 1, dtype=torch.float32, device=like.device)


class OneStep(Solver):
    """The clean embedding predicted from pure noise at once."""

    def __init__(self) -> None:
        """Nothing to set."""

    def __call__(
        self,
        denoise: Denoise,
        schedule: Schedule,
        noise: Tensor,
        steps: int,
        generators: Sequence[torch.Generator] = (),
    ) -> Tensor:
        if steps != 1:
            raise ValueError(f"OneStep takes 1 step, got {steps}")
        return denoise(noise, self.times(schedule, 1, noise)[0])


class Euler(Solver):
    """Straight steps in the plane of (alpha, sigma): DDIM (Song et al. 2020, arXiv:2010.02502, eq. 12 without noise)
    on a variance-preserving schedule, Euler's method for the velocity on the linear one.
    """

    def __init__(self) -> None:
        """Nothing to set."""

    def __call__(
        self,
        denoise: Denoise,
        schedule: Schedule,
        noise: Tensor,
        steps: int,
        generators: Sequence[torch.Generator] = (),
    ) -> Tensor:
        t = self.times(schedule, steps, noise)
        alpha, sigma = schedule.alpha_sigma(t)
        x = sigma[0] * noise
        for i in range(steps):
            x0 = denoise(x, t[i])
            eps = (x - alpha[i] * x0) / sigma[i]
            x = alpha[i + 1] * x0 + sigma[i + 1] * eps
        return x


class Heun(Solver):
    """Heun's second-order steps in the same plane (as Karras et al. 2022, arXiv:2206.00364, alg. 1, in theirs).

    The last step is Euler's, because at 0 there is no noise to tell from the data: 2 steps - 1 network evaluations.
    """

    def __init__(self) -> None:
        """Nothing to set."""

    def __call__(
        self,
        denoise: Denoise,
        schedule: Schedule,
        noise: Tensor,
        steps: int,
        generators: Sequence[torch.Generator] = (),
    ) -> Tensor:
        t = self.times(schedule, steps, noise)
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
                    x
                    + (alpha[i + 1] - alpha[i]) * (x0 + x0_ahead) / 2
                    + (sigma[i + 1] - sigma[i]) * (eps + eps_ahead) / 2
                )
            x = ahead
        return x


class Ancestral(Solver):
    """Euler's steps with part of the noise replaced by fresh noise at each (DDIM, eq. 16, with its `eta`).

    0 is deterministic; 1 replaces as much as DDPM does. Fresh noise corrects earlier errors and takes more steps.
    """

    stochastic = True

    def __init__(self, *, eta: float = 1.0) -> None:
        if not 0 <= eta <= 1:
            raise ValueError(f"sampler.solver.eta must be between 0 and 1, got {eta}")
        self.eta = eta

    def __call__(
        self,
        denoise: Denoise,
        schedule: Schedule,
        noise: Tensor,
        steps: int,
        generators: Sequence[torch.Generator] = (),
    ) -> Tensor:
        if len(generators) != len(noise):
            raise ValueError(f"Ancestral needs a generator for each of {len(noise)} rows, got {len(generators)}")
        t = self.times(schedule, steps, noise)
        alpha, sigma = schedule.alpha_sigma(t)
        x = sigma[0] * noise
        for i in range(steps):
            x0 = denoise(x, t[i])
            eps = (x - alpha[i] * x0) / sigma[i]
            kept = 1 - ((alpha[i] * sigma[i + 1]) / (alpha[i + 1] * sigma[i])).square()
            fresh = self.eta * sigma[i + 1] * kept.clamp(min=0).sqrt()  # standard deviation of the new noise
            x = alpha[i + 1] * x0 + (sigma[i + 1].square() - fresh.square()).clamp(min=0).sqrt() * eps
            if i + 1 < steps:
                rows = [torch.randn(noise.shape[1:], generator=g, device=g.device) for g in generators]
                x = x + fresh * torch.stack(rows).to(x)
        return x
