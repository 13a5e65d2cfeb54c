"""Diffusion and flow matching: one objective, by schedule, prediction target, weighting and distribution of times.

Shapes: B users, T targets, C conditions (in training: targets), S noise samples, D dimension.
"""

from typing import Any

import torch
from torch import Tensor

from prefprior.errors import require_choice
from prefprior.history import PreferenceBatch
from prefprior.models.diffusion.schedules import PREDICTIONS, Schedule
from prefprior.models.objectives.condition_dropout import ConditionDropout
from prefprior.models.prior.network import PriorNetwork
from prefprior.models.recorded import Recorded
from prefprior.models.reduction import weighted_mean

WEIGHTINGS = ("uniform", "min_snr")
TIMES = ("uniform", "logit_normal")


class Denoising(Recorded):
    """Learns to predict the clean embedding from a noisy one; sampling integrates that from pure noise.

    All `noise_samples` noisy versions of all of a user's targets share one encoded history.
    """

    one_step = False
    can_draw = True

    def __init__(
        self,
        *,
        schedule: Schedule,
        prediction: str = "v",
        weighting: str = "uniform",
        snr_limit: float = 5.0,
        times: str = "uniform",
        times_mean: float = 0.0,
        times_std: float = 1.0,
        noise_samples: int = 4,
        drop_history: float = 0.1,
        drop_rating: float = 0.1,
        drop_user: float = 0.15,
        drop_text: float = 0.2,
    ) -> None:
        self.prediction = require_choice("objective.prediction", prediction, PREDICTIONS)
        self.weighting = require_choice("objective.weighting", weighting, WEIGHTINGS)
        self.times = require_choice("objective.times", times, TIMES)
        if noise_samples < 1:
            raise ValueError(f"objective.noise_samples must be at least 1, got {noise_samples}")
        self.schedule = schedule
        self.snr_limit = snr_limit
        self.times_mean = times_mean
        self.times_std = times_std
        self.noise_samples = noise_samples
        self.dropout = ConditionDropout(history=drop_history, rating=drop_rating, user=drop_user, text=drop_text)

    def loss(
        self, prior: PriorNetwork, condition: Any, batch: PreferenceBatch, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Weighted squared error of the prediction, over all valid targets, liked or not."""
        valid_BT = batch.target_valid_BT
        x0_BTD = torch.where(valid_BT[..., None], prior.scale.to_model(batch.target_BTD), 0)
        x0_BTSD = x0_BTD[:, :, None].expand(-1, -1, self.noise_samples, -1)
        eps_BTSD = torch.randn(x0_BTSD.shape, generator=generator, device=x0_BTD.device, dtype=x0_BTD.dtype)
        t_BTS = self.sample_times(x0_BTSD.shape[:3], generator, x0_BTD.device)
        noisy_BTSD = self.schedule.noisy(x0_BTSD, eps_BTSD, t_BTS)
        a_BTS, b_BTS = self.schedule.coefficients(self.prediction, t_BTS)
        target_BTSD = a_BTS[..., None] * x0_BTSD + b_BTS[..., None] * eps_BTSD
        output_BTSD = prior.predict(noisy_BTSD, t_BTS, condition).float()
        error_BTS = (output_BTSD - target_BTSD).square().mean(-1) * self.weight(t_BTS)
        return {
            "denoising": weighted_mean(
                error_BTS, batch.target_weights_BT[..., None].expand_as(error_BTS).to(error_BTS.dtype)
            )
        }

    def denoise(self, prior: PriorNetwork, noisy_BCSD: Tensor, time: Tensor, condition: Any) -> Tensor:
        """The clean embedding that the network predicts from a noisy one, in model scale."""
        output_BCSD = prior.predict(noisy_BCSD, time, condition).float()
        return self.schedule.x0_from(self.prediction, output_BCSD, noisy_BCSD, time)

    def sample_times(self, shape: tuple[int, ...], generator: torch.Generator, device: torch.device) -> Tensor:
        """Stratified times: one in each of as many equal slices of probability. The gradient has less variance than
        with independent ones and the same expectation (Kingma et al. 2021, arXiv:2107.00630, appendix I.1).
        """
        count = int(torch.tensor(shape).prod())
        order = torch.randperm(count, generator=generator, device=device)
        u = (order + torch.rand(count, generator=generator, device=device)) / count
        if self.times == "logit_normal":  # Esser et al. 2024, arXiv:2403.03206, eq. 19
            normal = torch.special.ndtri(u.clamp(1e-6, 1 - 1e-6))
            u = (self.times_mean + self.times_std * normal).sigmoid()
        return (self.schedule.first + (self.schedule.last - self.schedule.first) * u).view(shape)

    def weight(self, t: Tensor) -> Tensor:
        """The weight of a squared error of the network's output at each time.

        min-SNR (Hang et al. 2023, arXiv:2303.09556) bounds the weight of an error *of x_0* by `snr_limit`; an output
        error is that error times |alpha b - sigma a| / sigma, whatever is predicted.
        """
        if self.weighting == "uniform":
            return torch.ones_like(t)
        alpha, sigma = self.schedule.alpha_sigma(t)
        a, b = self.schedule.coefficients(self.prediction, t)
        snr = (alpha / sigma).square()
        return snr.clamp(max=self.snr_limit) * (sigma / (alpha * b - sigma * a)).square()
