"""Diffusion and flow matching: one objective, by path, prediction target, weighting and distribution of times.

Shapes: B users, T targets, C conditions (in training: targets), S draws, D dimension.
"""

from typing import Any

import torch
from torch import Tensor

from prefprior.history import PreferenceBatch
from prefprior.models.diffusion.schedules import PREDICTIONS, Path
from prefprior.models.objectives.objective import Drops, LossTerms, mean_over, read
from prefprior.models.prior.network import Backbone
from prefprior.models.recorded import Recorded
from prefprior.models.retriever.contrastive import Contrastive

WEIGHTINGS = ("uniform", "min_snr")


class Denoising(Recorded):
    """Learns to see the clean embedding behind a noisy one; sampling integrates that from pure noise.

    All `draws` noisy versions of all of a user's targets share one encoded history.
    """

    one_step = False

    def __init__(
        self,
        *,
        path: Path,
        prediction: str = "v",
        weighting: str = "uniform",
        snr_limit: float = 5.0,
        times: str = "uniform",
        times_mean: float = 0.0,
        times_std: float = 1.0,
        draws: int = 4,
        drop_history: float = 0.1,
        drop_rating: float = 0.1,
        drop_person: float = 0.15,
        drop_text: float = 0.2,
        rank: Contrastive | None = None,
    ) -> None:
        if prediction not in PREDICTIONS:
            raise ValueError(f"prediction must be one of {', '.join(PREDICTIONS)}, got {prediction!r}")
        if weighting not in WEIGHTINGS:
            raise ValueError(f"weighting must be one of {', '.join(WEIGHTINGS)}, got {weighting!r}")
        if times not in ("uniform", "logit_normal"):
            raise ValueError(f"times must be uniform or logit_normal, got {times!r}")
        if draws < 1:
            raise ValueError(f"draws must be at least 1, got {draws}")
        self.path = path
        self.prediction = prediction
        self.weighting = weighting
        self.snr_limit = snr_limit
        self.times = times
        self.times_mean = times_mean
        self.times_std = times_std
        self.draws = draws
        self.drops = Drops(history=drop_history, rating=drop_rating, person=drop_person, text=drop_text)
        if rank is not None and rank.closeness_weight:
            raise ValueError(
                f"closeness_weight={rank.closeness_weight} trains an answer in one step, and this objective has none: "
                "choose objective=regression, or set closeness_weight=0."
            )
        self.rank = rank

    def loss(self, prior: Backbone, batch: PreferenceBatch, generator: torch.Generator) -> LossTerms:
        """Weighted squared error of the prediction, over all valid targets, liked or not; and the terms of `rank`."""
        encoded, condition = read(prior, batch, self.drops, generator)
        valid_BT = batch.target_valid_BT
        x0_BTD = torch.where(valid_BT[..., None], prior.scale.to_model(batch.target_BTD), 0)
        x0_BTSD = x0_BTD[:, :, None].expand(-1, -1, self.draws, -1)
        eps_BTSD = torch.randn(x0_BTSD.shape, generator=generator, device=x0_BTD.device, dtype=x0_BTD.dtype)
        t_BTS = self.draw_times(x0_BTSD.shape[:3], generator, x0_BTD.device)
        noisy_BTSD = self.path.noisy(x0_BTSD, eps_BTSD, t_BTS)
        a_BTS, b_BTS = self.path.coefficients(self.prediction, t_BTS)
        aim_BTSD = a_BTS[..., None] * x0_BTSD + b_BTS[..., None] * eps_BTSD
        output_BTSD = prior.predict(noisy_BTSD, t_BTS, condition).float()

        error_BTS = (output_BTSD - aim_BTSD).square().mean(-1) * self.weight(t_BTS)
        terms = {"denoising": mean_over(error_BTS, valid_BT[..., None].expand_as(error_BTS).to(error_BTS.dtype))}
        if self.rank is not None:
            terms |= self.rank.terms(prior, encoded, batch, generator)
        return LossTerms(total=torch.stack(list(terms.values())).sum(), terms=terms)

    def denoise(self, prior: Backbone, noisy_BCSD: Tensor, time: Tensor, condition: Any) -> Tensor:
        """The clean embedding that the network sees behind a noisy one, in model scale."""
        output_BCSD = prior.predict(noisy_BCSD, time, condition).float()
        return self.path.x0_from(self.prediction, output_BCSD, noisy_BCSD, time)

    def draw_times(self, shape: tuple[int, ...], generator: torch.Generator, device: torch.device) -> Tensor:
        """Times for a batch, one in each of as many equal slices of probability: less noise in the gradient than
        independent ones (Kingma et al. 2021, arXiv:2107.00630, appendix I.1), the same expectation.
        """
        count = int(torch.tensor(shape).prod())
        order = torch.randperm(count, generator=generator, device=device)
        u = (order + torch.rand(count, generator=generator, device=device)) / count
        if self.times == "logit_normal":  # Esser et al. 2024, arXiv:2403.03206, eq. 19
            normal = torch.special.ndtri(u.clamp(1e-6, 1 - 1e-6))
            u = (self.times_mean + self.times_std * normal).sigmoid()
        return (self.path.first + (self.path.last - self.path.first) * u).view(shape)

    def weight(self, t: Tensor) -> Tensor:
        """What a squared error of the network's output counts at each time.

        min-SNR (Hang et al. 2023, arXiv:2303.09556) bounds the weight of an error *of x_0* by `snr_limit`; an output
        error is that error times |alpha b - sigma a| / sigma, whatever is predicted.
        """
        if self.weighting == "uniform":
            return torch.ones_like(t)
        alpha, sigma = self.path.alpha_sigma(t)
        a, b = self.path.coefficients(self.prediction, t)
        snr = (alpha / sigma).square()
        return snr.clamp(max=self.snr_limit) * (sigma / (alpha * b - sigma * a)).square()
