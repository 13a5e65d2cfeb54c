"""Noise schedules, x_t = alpha(t) x_0 + sigma(t) eps for t from 0 (data) to 1 (noise), and what a network may predict
under them.

Every prediction target is a x_0 + b eps; with x_t that is two equations for x_0 and eps, solved in one place.
"""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from prefprior.models.recorded import Recorded

PREDICTIONS = ("eps", "x0", "v", "velocity")


class Schedule(Recorded, ABC):
    """alpha and sigma over time, with their slopes."""

    # Where the signal is 1 %: there noise and x_t cannot be told apart, and dividing by a smaller alpha would only
    # blow up a network's error.
    last: float
    # Times below it are never drawn: there x_0 is in plain view, and eps is the quotient of two vanishing numbers.
    first: float = 1e-3

    @abstractmethod
    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Signal and noise levels."""

    @abstractmethod
    def slopes(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Their derivatives in t."""

    def noisy(self, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """x_t; t broadcasts over the last dimension."""
        alpha, sigma = self.alpha_sigma(t[..., None])
        return alpha * x0 + sigma * eps

    def coefficients(self, prediction: str, t: Tensor) -> tuple[Tensor, Tensor]:
        """(a, b) of the prediction target a x_0 + b eps."""
        alpha, sigma = self.alpha_sigma(t)
        if prediction == "eps":
            return torch.zeros_like(alpha), torch.ones_like(alpha)
        if prediction == "x0":
            return torch.ones_like(alpha), torch.zeros_like(alpha)
        if prediction == "v":  # Salimans & Ho 2022, arXiv:2202.00512, eq. 11
            return -sigma, alpha
        if prediction == "velocity":  # dx/dt: on the linear schedule eps - x_0 (rectified flow, arXiv:2209.03003)
            return self.slopes(t)
        raise ValueError(f"prediction must be one of {', '.join(PREDICTIONS)}, got {prediction!r}")

    def x0_from(self, prediction: str, output: Tensor, noisy: Tensor, t: Tensor) -> Tensor:
        """The x_0 that a network's output means."""
        alpha, sigma = self.alpha_sigma(t[..., None])
        a, b = self.coefficients(prediction, t[..., None])
        return (b * noisy - sigma * output) / (alpha * b - sigma * a)


class LinearSchedule(Schedule):
    """Straight line between data and noise, of rectified flow."""

    last = 0.99

    def __init__(self) -> None:
        """Nothing to set."""

    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return 1 - t, t

    def slopes(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return -torch.ones_like(t), torch.ones_like(t)


class CosineSchedule(Schedule):
    """Variance-preserving cosine schedule (Nichol & Dhariwal 2021, arXiv:2102.09672, without its offset), its
    log-SNR moved by `shift` (Hoogeboom et al. 2023, arXiv:2301.11093): below 1 there is more noise at each time.
    """

    def __init__(self, *, shift: float = 1.0) -> None:
        if not shift > 0:
            raise ValueError(f"shift must be above 0, got {shift}")
        self.shift = shift
        # sigma / alpha = tan(pi t / 2) / shift, and at the last time that is 100.
        self.last = 2 / math.pi * math.atan(100 * shift)

    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        angle = self._angle(t)
        return angle.cos(), angle.sin()

    def slopes(self, t: Tensor) -> tuple[Tensor, Tensor]:
        angle = self._angle(t)
        cos, sin = (math.pi / 2 * t).cos(), (math.pi / 2 * t).sin()
        turn = math.pi / 2 * self.shift / ((self.shift * cos) ** 2 + sin**2)  # d angle / dt
        return -turn * angle.sin(), turn * angle.cos()

    def _angle(self, t: Tensor) -> Tensor:
        return torch.atan2((math.pi / 2 * t).sin(), self.shift * (math.pi / 2 * t).cos())
