"""Classifier-free guidance: history, target rating and text, each with its own scale, at every denoising step.

Shapes: B users, G variants of the condition, S samples, D dimension.
"""

import torch
from torch import Tensor

from prefprior.models.diffusion.guidance import Guidance
from prefprior.models.diffusion.solvers import Denoise
from prefprior.models.objectives.objective import Objective
from prefprior.models.prior.network import Encoded, PriorNetwork


def guided(
    prior: PriorNetwork,
    objective: Objective,
    guidance: Guidance,
    encoded: Encoded,
    null: Encoded,
    rating_B: Tensor,
    text_BD: Tensor | None = None,
) -> Denoise:
    """A `denoise` callable over (B, S, D). All variants of the condition go through the network as one batch.

    `null` is the encoded empty history.
    """
    users = len(encoded)
    everyone = torch.ones_like(rating_B, dtype=torch.bool)
    variants = [(encoded, rating_B, everyone)]
    scales: list[float] = []
    if guidance.history != 1:
        variants.append((null.expand(users), rating_B, everyone))
        scales.append(guidance.history - 1)
    if guidance.rating != 0:
        variants.append((encoded, -rating_B, everyone))
        scales.append(guidance.rating)
    if guidance.text != 1 and text_BD is not None:
        variants.append((encoded, rating_B, ~everyone))
        scales.append(guidance.text - 1)
    groups = len(variants)
    histories, ratings, told = zip(*variants)
    together, wished = encoded.joined(list(histories[1:])), torch.cat(ratings)[:, None]  # GB; GB 1
    if text_BD is None:
        condition = prior.condition(together, wished)
    else:
        said = text_BD.repeat(groups, 1)[:, None]  # GB 1 D
        known = torch.cat(told)[:, None] & said.any(-1)  # GB 1; a row of zeros is no text
        condition = prior.condition(together, wished, text_BCD=said, text_known_BC=known)

    def denoise(noisy_BSD: Tensor, t: Tensor) -> Tensor:
        noisy = noisy_BSD.repeat(groups, 1, 1)[:, None]  # GB 1 S D
        x0 = objective.denoise(prior, noisy, t.view(1, 1, 1), condition)[:, 0]
        x0_GBSD = x0.view(groups, *noisy_BSD.shape)
        if groups == 1:
            return x0_GBSD[0]
        # What this adds in length is bounded at the end (`models/lengths.py`). If each step kept the length, samples
        # would be drawn to pictures that are as long as what guidance moves away from.
        return x0_GBSD[0] + sum(s * (x0_GBSD[0] - other) for s, other in zip(scales, x0_GBSD[1:]))

    return denoise
