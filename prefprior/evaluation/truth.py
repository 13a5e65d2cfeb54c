"""The truth about people of the world: how good samples really are, and how many of a person's tastes they find.

Scaled utility is 0 for a random picture of the catalogue and 1 for the person's best (see `prefprior.world.source`);
tastes are looked at as they are after all of a person's ratings.

Shapes: B people, n samples, D dimension.
"""

import torch
from torch import Tensor

from prefprior.world.source import WorldSource


def truth(source: WorldSource, users: list[str], samples_BnD: Tensor) -> dict[str, Tensor]:
    """Utility of the samples (mean, best and regret) and, for people of several modes, the share of modes covered."""
    mean, best, covered = [], [], []
    for user, samples_nD in zip(users, samples_BnD, strict=True):
        utility_n = source.scaled_utility(user, samples_nD)
        modes_K = source.modes_covered(user, samples_nD)
        mean.append(float(utility_n.mean()))
        best.append(float(utility_n.max()))
        covered.append(float(modes_K.mean()) if len(modes_K) > 1 else float("nan"))
    mean_B = torch.tensor(mean, dtype=torch.float64)
    return {
        "utility": mean_B,
        "utility_best": torch.tensor(best, dtype=torch.float64),
        "regret": (1 - mean_B).clamp_min(0),
        "modes": torch.tensor(covered, dtype=torch.float64),
    }
