"""Streams a predictor over users and the whole catalogue; keeps only what the metrics need.

Shapes: B users, T held out, N catalogue, k length of the recommended list.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from prefprior.data.hashing import id_hashes
from prefprior.data.held_out import HeldOutUsers
from prefprior.history import hide_seen
from prefprior.predictor import Predictor


@dataclass(frozen=True, eq=False)
class Scored:
    """What the metrics need of B x N scores."""

    score_BT: Tensor  # of the held-out items, by rating
    rank_BT: Tensor  # float64, of held-out likes: 1 is best among the candidates; equals share their mean rank
    top_BK: Tensor  # int64 catalogue rows, best first
    candidates_B: Tensor  # how many items were ranked for each user


@dataclass(frozen=True)
class SampledCandidates:
    """Random unseen items for each user instead of the whole catalogue, the same for every predictor."""

    count: int
    seed: int = 0

    def mask(self, people: HeldOutUsers) -> Tensor:
        """(B, N) bool: the random items, and what is held out."""
        size = len(people.catalogue)
        mask_BN = torch.zeros(len(people), size, dtype=torch.bool)
        for b, name in enumerate(id_hashes(people.users).tolist()):
            taken_N = np.zeros(size, dtype=bool)
            for rows_BX in (people.seen_item_BS, people.held_item_BT):
                rows = rows_BX[b].numpy()
                taken_N[rows[rows >= 0]] = True
            free = np.flatnonzero(~taken_N)
            drawn = np.random.default_rng((self.seed, name)).permutation(free)[: self.count]
            mask_BN[b, torch.from_numpy(drawn)] = True
            held_T = people.held_item_BT[b]
            mask_BN[b, held_T[held_T >= 0]] = True
        return mask_BN


def score(
    predictor: Predictor,
    people: HeldOutUsers,
    length: int | None = None,
    k: int = 20,
    progress: Callable[[int], None] | None = None,
    candidates: SampledCandidates | None = None,
) -> Scored:
    """Ranks the whole catalogue less what each user has seen, from their `length` newest ratings.

    Lists and ranks are by interaction, scores of held-out items by rating; a predictor with one score is asked once.
    Candidates are sampled only if asked: sampled metrics do not even keep methods in order (Krichene & Rendle 2020).
    """
    parts = []
    for chunk in people.chunks():
        history = chunk.history(length)
        found = reduce_scores(predictor.rank(history, people.catalogue, "interaction").cpu(), chunk, k, candidates)
        if predictor.two_scores:
            rated_BN = predictor.rank(history, people.catalogue, "rating").cpu()
            found = replace(found, score_BT=_held_out(rated_BN, chunk))
        parts.append(found)
        if progress is not None:
            progress(len(chunk))
    width = people.held_item_BT.shape[1]
    return Scored(
        score_BT=torch.cat([pad(p.score_BT, (0, width - p.score_BT.shape[1])) for p in parts]),
        rank_BT=torch.cat([pad(p.rank_BT, (0, width - p.rank_BT.shape[1]), value=torch.inf) for p in parts]),
        top_BK=torch.cat([p.top_BK for p in parts]),
        candidates_B=torch.cat([p.candidates_B for p in parts]),
    )


def score_by_rating(predictor: Predictor, people: HeldOutUsers) -> Tensor:
    """(B, T) scores of the held-out items by rating, from whole histories; nothing is ranked."""
    width = people.held_item_BT.shape[1]
    found = [
        _held_out(predictor.rank(chunk.history(), people.catalogue, "rating").cpu(), chunk) for chunk in people.chunks()
    ]
    return torch.cat([pad(score_BT, (0, width - score_BT.shape[1])) for score_BT in found])


def reduce_scores(
    scores_BN: Tensor, people: HeldOutUsers, k: int, candidates: SampledCandidates | None = None
) -> Scored:
    """Ranks, scores and best rows from all scores of a few users."""
    score_BT = _held_out(scores_BN, people)
    scores_BN = hide_seen(scores_BN.to(torch.float32, copy=True), people.seen_item_BS)
    if candidates is not None:
        scores_BN = scores_BN.masked_fill_(~candidates.mask(people), -torch.inf)
    return Scored(
        score_BT=score_BT,
        rank_BT=_ranks(scores_BN, score_BT, people.held_liked_BT),
        top_BK=scores_BN.topk(min(k, scores_BN.shape[1]), dim=1).indices,
        candidates_B=(scores_BN > -torch.inf).sum(1),
    )


def _held_out(scores_BN: Tensor, people: HeldOutUsers) -> Tensor:
    """(B, T) scores of the held-out items, 0 where there is none."""
    if scores_BN.shape != (len(people), len(people.catalogue)):
        raise ValueError(
            f"a predictor returned scores of shape {tuple(scores_BN.shape)} instead of {len(people)} "
            f"users x {len(people.catalogue)}"
        )
    score_BT = scores_BN.gather(1, people.held_item_BT.clamp_min(0)).float()
    return score_BT.masked_fill(~people.held_valid_BT, 0.0)


def _ranks(scores_BN: Tensor, score_BT: Tensor, liked_BT: Tensor) -> Tensor:
    """(B, T) where each held-out like stands among all scores of its user; infinity for the rest.

    Held-out likes are few: counting what is above each is far cheaper than sorting everything, and numpy counts a
    row that fits the cache several times faster than torch reduces a whole matrix of comparisons.
    """
    ranks = np.full(score_BT.shape, np.inf)
    for b, (row_N, score_T) in enumerate(zip(scores_BN.numpy(), score_BT.numpy(), strict=True)):
        for t in np.flatnonzero(liked_BT[b].numpy()):
            above = np.count_nonzero(row_N > score_T[t])
            ranks[b, t] = above + (np.count_nonzero(row_N == score_T[t]) + 1) / 2
    return torch.from_numpy(ranks)
