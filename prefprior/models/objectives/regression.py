"""Regression: the embedding in one step, without a diffusion; several answers for users with several tastes.

Shapes: B users, T targets, C conditions (in training: targets), S answers, D dimension.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize, one_hot

from prefprior.history import PreferenceBatch
from prefprior.models.diffusion.schedules import LinearSchedule, Schedule
from prefprior.models.objectives.condition_dropout import ConditionDropout
from prefprior.models.prior.network import PriorNetwork
from prefprior.models.recorded import Recorded
from prefprior.models.reduction import weighted_mean


class Regression(Recorded):
    """Squared error and cosine (as ECLIPSE, arXiv:2312.04655) of the best of several answers, each from its own noise.

    With one answer the noise is 0 and the answer is the mean, which lies between the modes of several tastes. With
    more, only the answer nearest to the target learns (implicit maximum likelihood, Li & Malik 2018,
    arXiv:1809.09087), so that the answers spread over the modes; `share_of_all` of the loss goes to all of them, which
    keeps the others from dying.
    """

    one_step = True
    schedule: Schedule = LinearSchedule()  # one step from its noisy end: the network is only ever asked there

    def __init__(
        self,
        *,
        answers: int = 4,
        share_of_all: float = 0.05,
        cosine_weight: float = 1.0,
        drop_history: float = 0.1,
        drop_rating: float = 0.1,
        drop_user: float = 0.15,
        drop_text: float = 0.2,
    ) -> None:
        if answers < 1:
            raise ValueError(f"objective.answers must be at least 1, got {answers}")
        if not 0 <= share_of_all <= 1:
            raise ValueError(f"objective.share_of_all must be between 0 and 1, got {share_of_all}")
        self.answers = answers
        self.can_draw = answers > 1
        self.share_of_all = share_of_all
        self.cosine_weight = cosine_weight
        self.dropout = ConditionDropout(history=drop_history, rating=drop_rating, user=drop_user, text=drop_text)

    def loss(
        self, prior: PriorNetwork, condition: Any, batch: PreferenceBatch, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Error of the nearest answer, over all valid targets, liked or not."""
        valid_BT = batch.target_valid_BT
        x0_BTD = torch.where(valid_BT[..., None], prior.scale.to_model(batch.target_BTD), 0)
        shape = (*x0_BTD.shape[:2], self.answers, x0_BTD.shape[2])
        noise_BTSD = torch.randn(shape, generator=generator, device=x0_BTD.device, dtype=x0_BTD.dtype)
        answer_BTSD = self.denoise(prior, noise_BTSD, x0_BTD.new_full((1, 1, 1), self.schedule.last), condition)
        target_BTSD = x0_BTD[:, :, None]
        error_BTS = (answer_BTSD - target_BTSD).square().mean(-1)
        raw_answer, raw_target = prior.scale.from_model(answer_BTSD), prior.scale.from_model(target_BTSD)
        error_BTS = error_BTS + self.cosine_weight * (1 - cosine_similarity(raw_answer, raw_target, dim=-1))
        nearest_BTS = one_hot(error_BTS.detach().argmin(-1), self.answers).to(error_BTS.dtype)
        share_BTS = (1 - self.share_of_all) * nearest_BTS + self.share_of_all / self.answers
        error_BT = (error_BTS * share_BTS).sum(-1)
        return {"regression": weighted_mean(error_BT, batch.target_weights_BT.to(error_BT.dtype))}

    def denoise(self, prior: PriorNetwork, noisy_BCSD: Tensor, time: Tensor, condition: Any) -> Tensor:
        """The answer to a noise, in model scale; with one answer, the noise is ignored."""
        if not self.can_draw:
            noisy_BCSD = torch.zeros_like(noisy_BCSD)
        return prior.predict(noisy_BCSD, time, condition).float()

    def mean_answer(self, prior: PriorNetwork, encoded: Any, generator: torch.Generator) -> Tensor:
        """The mean direction of each user's answers when asked for what they love, in model scale (B, D)."""
        shape = (len(encoded), 1, self.answers, prior.space.dim)
        noise_BCSD = torch.randn(shape, generator=generator, device=generator.device).to(prior.scale.mean_D.device)
        loved_BC = noise_BCSD.new_ones(len(encoded), 1)
        condition = prior.condition(encoded, loved_BC)
        answer_BSD = self.denoise(prior, noise_BCSD, noise_BCSD.new_full((1, 1, 1), self.schedule.last), condition)[
            :, 0
        ]
        # An untrained answer is 0, which has no direction: without a least length (an embedding has sqrt(D)) its
        # gradient would not be finite.
        return normalize(answer_BSD, dim=-1, eps=1.0).mean(1)
