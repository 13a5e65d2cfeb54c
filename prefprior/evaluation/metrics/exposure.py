"""What recommending does to the catalogue: who is shown, how evenly; and how alike users end up.

Fairness among items follows the corrected measures of Rampisela et al. 2023 (arXiv:2311.01013): each is rescaled
between the least and the most even exposure that B lists of k items over N items can have, so that 0 and 1 are reached.

Shapes: B users, k list length, N catalogue, T held out, D dimension.
"""

from collections.abc import Callable

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor
from torch.nn.functional import normalize

from prefprior.data.held_out import HeldOutUsers

NEIGHBOURS = 10


def gini(count_N: np.ndarray) -> float:
    """0 if all items are shown equally often, towards 1 if one takes all."""
    ordered = np.sort(count_N.astype(np.float64))
    place = np.arange(1, len(ordered) + 1)
    return float(((2 * place - len(ordered) - 1) * ordered).sum() / (len(ordered) * ordered.sum()))


def entropy(count_N: np.ndarray) -> float:
    """Shannon entropy of exposure, as a share of its maximum."""
    share = count_N[count_N > 0] / count_N.sum()
    return float(-(share * np.log(share)).sum() / np.log(len(count_N))) if len(count_N) > 1 else 1.0


def jain(count_N: np.ndarray) -> float:
    """Jain's index (1984): the share of items that would be shown if exposure were even among them."""
    count_N = count_N.astype(np.float64)
    return float(count_N.sum() ** 2 / (len(count_N) * (count_N**2).sum()))


def shown(count_N: np.ndarray) -> float:
    """The share of items shown at all (qualification fairness, where all items qualify)."""
    return float((count_N > 0).mean())


def satisfied(count_N: np.ndarray) -> float:
    """The share of items shown at least as often as an even split, rounded down, would have it."""
    return float((count_N >= max(count_N.sum() // len(count_N), 1)).mean())


def corrected(measure: Callable[[np.ndarray], float], count_N: np.ndarray, people: int) -> float | None:
    """The measure between the most uneven (0) and the most even exposure (1) possible; None if they coincide."""
    items, total = len(count_N), int(count_N.sum())
    k = total // people
    worst = np.zeros(items, dtype=np.int64)
    worst[:k] = people
    best = np.full(items, total // items)
    best[: total % items] += 1
    low, high = measure(worst), measure(best)
    return None if abs(high - low) < 1e-12 else (measure(count_N) - low) / (high - low)


def exposure(top_BK: Tensor, items: int) -> dict[str, float]:
    """Coverage, Gini and entropy of what the lists show, and the corrected fairness measures."""
    count_N = np.bincount(top_BK.flatten().numpy(), minlength=items)
    k = top_BK.shape[1]
    figures: dict[str, float | None] = {
        f"coverage_{k}": shown(count_N),
        f"gini_{k}": gini(count_N),
        f"entropy_{k}": entropy(count_N),
        f"fair_jain_{k}": corrected(jain, count_N, len(top_BK)),
        f"fair_shown_{k}": corrected(shown, count_N, len(top_BK)),
        f"fair_satisfied_{k}": corrected(satisfied, count_N, len(top_BK)),
        f"fair_entropy_{k}": corrected(entropy, count_N, len(top_BK)),
        f"fair_gini_{k}": corrected(gini, count_N, len(top_BK)),
    }
    return {name: value for name, value in figures.items() if value is not None}


def exposure_intervals(top_BK: Tensor, items: int, weights_RB: np.ndarray) -> dict[str, tuple[float, float]]:
    """95 % intervals of `exposure` by resampling users."""
    drawn = [
        exposure(top_BK[torch.from_numpy(np.repeat(np.arange(len(top_BK)), weights_B.astype(np.int64)))], items)
        for weights_B in weights_RB
    ]
    names = set.intersection(*(set(figures) for figures in drawn))
    low, high = 0.025, 0.975
    quantiles = {name: np.quantile([figures[name] for figures in drawn], [low, high]) for name in names}
    return {name: (float(a), float(b)) for name, (a, b) in quantiles.items()}


def user_vectors(samples_BnD: Tensor, people: HeldOutUsers) -> Tensor:
    """(B, D) where each user's samples lie: a user vector that any predictor has."""
    return normalize(people.catalogue.space.directions(samples_BnD).mean(1), dim=1)


def lookalikes(vector_BD: Tensor, people: HeldOutUsers) -> Tensor:
    """(B,) cosine of a user's held-out likes with those of their nearest users, less that with everybody's.

    Above 0, users with similar vectors like similar pictures.
    """
    likes_BD, able_B = _likes(people)
    alike_BB = likes_BD @ likes_BD.T
    near_BB = (vector_BD @ vector_BD.T).fill_diagonal_(-torch.inf).masked_fill(~able_B, -torch.inf)
    count = min(NEIGHBOURS, int(able_B.sum()) - 1)
    lift_B = torch.full((len(people),), torch.nan, dtype=torch.float64)
    if count < 1:
        return lift_B
    neighbours_B = alike_BB.gather(1, near_BB.topk(count, dim=1).indices).mean(1)
    everybody_B = (alike_BB[:, able_B].sum(1) - alike_BB.diagonal()) / (able_B.sum() - 1)
    return torch.where(able_B, (neighbours_B - everybody_B).double(), lift_B)


def segments(vector_BD: Tensor, people: HeldOutUsers, count: int = 8, seed: int = 0) -> tuple[np.ndarray, Tensor]:
    """Each user's segment, and how much closer their held-out likes are to their segment's others than to all."""
    count = max(1, min(count, len(people) // 4))
    label_B = KMeans(count, n_init=4, random_state=seed).fit_predict(vector_BD.double().numpy())
    likes_BD, able_B = _likes(people)
    same_BB = torch.from_numpy(label_B[:, None] == label_B[None, :]) & able_B
    same_BB.fill_diagonal_(False)
    alike_BB = (likes_BD @ likes_BD.T).double()
    inside_B = (alike_BB * same_BB).sum(1) / same_BB.sum(1)
    everybody_B = (alike_BB[:, able_B].sum(1) - alike_BB.diagonal()) / (able_B.sum() - 1)
    return label_B, torch.where(able_B & same_BB.any(1), inside_B - everybody_B, torch.nan)


def _likes(people: HeldOutUsers) -> tuple[Tensor, Tensor]:
    """(B, D) the direction of each user's held-out likes, and for whom there is one."""
    liked_BT = people.held_liked_BT
    mean_BD = (people.catalogue.space.directions(people.held_embeddings()) * liked_BT[..., None]).sum(1)
    return normalize(mean_BD, dim=1), liked_BT.any(1)
