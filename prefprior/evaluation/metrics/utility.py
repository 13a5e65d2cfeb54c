"""The true utility of samples to users of the world, and how many of a user's tastes they cover.

Scaled utility is 0 for a random picture of the catalogue and 1 for the user's best (see `prefprior.world.source`);
tastes are looked at as they are after all of a user's ratings.

Shapes: B users, n samples, D dimension.
"""

import torch
from torch import Tensor

from prefprior.world.source import WorldSource


def true_utility(source: WorldSource, users: list[str], samples_BnD: Tensor) -> dict[str, Tensor]:
    """Utility of the samples (mean, best and regret), and the share of modes covered by users who have several.

    `utility_one_mode` and `utility_several_modes` are the same utility, each for the users it names: the mean of what
    one likes serves the first, not the second.
    """
    mean, best, covered = [], [], []
    for user, samples_nD in zip(users, samples_BnD, strict=True):
        utility_n = source.scaled_utility(user, samples_nD)
        modes_K = source.modes_covered(user, samples_nD)
        mean.append(float(utility_n.mean()))
        best.append(float(utility_n.max()))
        covered.append(float(modes_K.mean()) if len(modes_K) > 1 else float("nan"))
    mean_B = torch.tensor(mean, dtype=torch.float64)
    several_B = torch.tensor([len(source.modes(user)) > 1 for user in users])
    return {
        "utility": mean_B,
        "utility_one_mode": mean_B.masked_fill(several_B, torch.nan),
        "utility_several_modes": mean_B.masked_fill(~several_B, torch.nan),
        "utility_best": torch.tensor(best, dtype=torch.float64),
        "regret": (1 - mean_B).clamp_min(0),
        "modes": torch.tensor(covered, dtype=torch.float64),
    }
