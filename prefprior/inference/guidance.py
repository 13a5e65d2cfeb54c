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
        moved = x0_GBSD[0] + sum(s * (x0_GBSD[0] - other) for s, other in zip(scales, x0_GBSD[1:]))
        return with_norm_of(prior, moved, x0_GBSD[0])

    return denoise


def with_norm_of(prior: PriorNetwork, moved: Tensor, original: Tensor) -> Tensor:
    """`moved` in direction, `original` in length, both seen as raw projections.

    Guidance extrapolates, and what it adds in length is no taste; real pictures lie on a shell (as Lin et al. 2024,
    arXiv:2305.08891, sec. 3.4, rescale the standard deviation of pictures).
    """
    raw_moved, raw_original = prior.scale.from_model(moved), prior.scale.from_model(original)
    ratio = raw_original.norm(dim=-1, keepdim=True) / raw_moved.norm(dim=-1, keepdim=True).clamp(min=1e-8)
    return prior.scale.to_model(raw_moved * ratio)
