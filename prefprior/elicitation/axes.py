"""Candidates for questions along axes that words name: two pictures made from one, a step to either side of it.

Shapes: K axes, B pictures, S = K x B pairs, D dimension.
"""

import torch
from torch import Tensor

from prefprior.data.embedding.text_axes import TextAxes
from prefprior.inference.steering import Steering


def pairs_along(axes: TextAxes, raw_BD: Tensor, directions_PD: Tensor, step: float) -> Tensor:
    """(S, 2, D) embeddings that differ along one axis and stay where they were on the others, the lower end first.

    `step` is in standard deviations of real pictures, of which `directions_PD` are unit embeddings.
    """
    pairs = []
    for k in range(len(axes.names)):
        strengths = [step if other == k else 0.0 for other in range(len(axes.names))]
        steering = Steering(axes, strengths, directions_PD)
        pairs.append(torch.stack([steering.moved(raw_BD, -1.0), steering.moved(raw_BD, 1.0)], 1))
    return torch.cat(pairs)
