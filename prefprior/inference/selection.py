"""Which of many candidates each user gets: no near-copies of what they rated, each good, together different.

Shapes: B users, M candidates, n chosen, K history, D dimension.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from prefprior.history import History
from prefprior.models.diffusion.sampler import Sampler
from prefprior.space import Space

TEXT_CANDIDATES = 16  # at least so many per sample where a text chooses among them: figures in docs/sampling.md
STEERED_CANDIDATES = 16  # the same where all are moved along an axis: figures in docs/sampling.md
ROUNDS = 4  # how often a user gets new candidates where too many are near-copies

Propose = Callable[[Tensor], tuple[Tensor, Tensor]]  # rows of users -> candidates (B, M, D) and their scores (B, M)


@dataclass(frozen=True, eq=False)
class Samples:
    """The embeddings each user gets, and what they were chosen from."""

    raw_BnD: Tensor  # best first
    proposed_B: Tensor  # how many candidates there were
    near_copies_B: Tensor  # how many of them were rejected


@dataclass(frozen=True, eq=False)
class Candidates:
    """What may be chosen for each user."""

    raw_BMD: Tensor
    score_BM: Tensor  # 0 for all where nothing scores them
    allowed_BM: Tensor | None  # bool; None where all may be chosen
    proposed_B: Tensor
    near_copies_B: Tensor

    def best(
        self, n: int, *, scaled_BMD: Tensor, diversity: float, near_BM: Tensor | None = None, text_weight: float = 0.0
    ) -> Samples:
        """The n of each user to keep, by maximal marginal relevance.

        `scaled_BMD` are the candidates in model scale; `near_BM` their closeness to a text, if there is one.
        """

        def chosen(scaled: Tensor, score: Tensor, near: Tensor | None) -> Tensor:
            return maximal_marginal_relevance(scaled, quality(score, near, text_weight), n, diversity)

        if self.allowed_BM is None or bool(self.allowed_BM.all()):
            rows_Bn = chosen(scaled_BMD, self.score_BM, near_BM)
        else:  # one user at a time: each may choose among another number of candidates
            rows = []
            for b, allowed_M in enumerate(self.allowed_BM):
                kept = allowed_M.nonzero()[:, 0]
                near = None if near_BM is None else near_BM[b : b + 1, kept]
                rows.append(kept[chosen(scaled_BMD[b : b + 1, kept], self.score_BM[b : b + 1, kept], near)[0]])
            rows_Bn = torch.stack(rows)
        chosen_BnD = self.raw_BMD.gather(1, rows_Bn[..., None].expand(-1, -1, self.raw_BMD.shape[2]))
        return Samples(chosen_BnD, self.proposed_B, self.near_copies_B)


def candidates_per_sample(sampler: Sampler, *, chosen_by_text: bool, steered: bool = False) -> int:
    """How many candidates there are for each sample in a round."""
    return max(sampler.candidates, TEXT_CANDIDATES if chosen_by_text else 0, STEERED_CANDIDATES if steered else 0)


def all_candidates(propose: Propose, users: int) -> Candidates:
    """One round of candidates, all of which may be chosen."""
    raw_BMD, score_BM = propose(torch.arange(users))
    zeros_B = torch.zeros(users, dtype=torch.long)
    return Candidates(raw_BMD, score_BM, None, zeros_B + raw_BMD.shape[1], zeros_B)


def distinct_candidates(propose: Propose, history: History, space: Space, n: int, threshold: float) -> Candidates:
    """Candidates without near-copies: those whose similarity to a rated item is `threshold` or more.

    A user with fewer than n candidates left gets further rounds; nobody else's outcome depends on that. Who still has
    fewer after `ROUNDS` gets the least similar near-copies too.
    """
    users = len(history)
    raw_BMD, score_BM = propose(torch.arange(users))
    similarity_BM = similarity_to_rated(space, raw_BMD, history)
    proposed_B = torch.full((users,), raw_BMD.shape[1])
    for _ in range(ROUNDS - 1):
        short = ((similarity_BM < threshold).sum(1) < n).nonzero()[:, 0].cpu()
        if not len(short):
            break
        fresh_bMD, score_bM = propose(short)
        similarity_bM = similarity_to_rated(space, fresh_bMD, history.take(short))
        # Users who got nothing in this round are padded with what is never allowed.
        raw_BMD = torch.cat([raw_BMD, _placed(fresh_bMD, short, users, 0.0)], dim=1)
        score_BM = torch.cat([score_BM, _placed(score_bM, short, users, 0.0)], dim=1)
        similarity_BM = torch.cat([similarity_BM, _placed(similarity_bM, short, users, torch.inf)], dim=1)
        proposed_B[short] += fresh_bMD.shape[1]
    distinct_BM = similarity_BM < threshold
    order_BM = torch.where(distinct_BM, -torch.inf, similarity_BM).argsort(stable=True, dim=1).argsort(1)
    near_copies_B = proposed_B - distinct_BM.sum(1).cpu()
    return Candidates(raw_BMD, score_BM, distinct_BM | (order_BM < n), proposed_B, near_copies_B)


def similarity_to_rated(space: Space, raw_BMD: Tensor, history: History) -> Tensor:
    """(B, M) the largest standardised cosine of each candidate to an item of its user's history; -1 without any."""
    rated_BKD = space.directions(history.embeddings_BKD.to(raw_BMD))
    cosine_BMK = space.directions(raw_BMD) @ rated_BKD.transpose(1, 2)
    return cosine_BMK.masked_fill(~history.valid_BK.to(raw_BMD.device)[:, None], -1.0).amax(2)


def closeness_to_text(raw_BMD: Tensor, text_BD: Tensor) -> Tensor:
    """(B, M) the cosine of each candidate to its user's text. It says something only beside the user's other
    candidates: between all images and all texts of a CLIP space there is a gap (Liang et al. 2022, arXiv:2203.02053).
    """
    return torch.einsum("bmd,bd->bm", normalize(raw_BMD, dim=-1), normalize(text_BD, dim=-1))


def quality(score_BM: Tensor, near_BM: Tensor | None, text_weight: float) -> Tensor:
    """What candidates are chosen by: the score, mixed with the closeness to a text where there is one."""
    if near_BM is None:
        return standardised(score_BM)
    return (1 - text_weight) * standardised(score_BM) + text_weight * standardised(near_BM)


def standardised(value_BM: Tensor) -> Tensor:
    """Mean 0 and standard deviation 1 for each user."""
    return (value_BM - value_BM.mean(1, keepdim=True)) / value_BM.std(1, keepdim=True, correction=0).clamp(min=1e-8)


def maximal_marginal_relevance(candidates_BMD: Tensor, quality_BM: Tensor, n: int, diversity: float) -> Tensor:
    """Rows (B, n) of the candidates, chosen one after the other by quality minus similarity to those chosen already
    (Carbonell & Goldstein 1998, doi:10.1145/290941.291025).

    Both are put on one scale per user: quality in standard deviations, similarity as a cosine about the candidates'
    mean; `diversity` is how many standard deviations of quality a cosine of 1 costs.
    """
    users, count, _ = candidates_BMD.shape
    if n > count:
        raise ValueError(f"cannot select {n} of {count} candidates")
    gain_BM = standardised(quality_BM)
    direction_BMD = normalize(candidates_BMD - candidates_BMD.mean(dim=1, keepdim=True), dim=-1)
    closest_BM = torch.zeros_like(gain_BM)  # a candidate opposite to all others is no better than one at a right angle
    user_B = torch.arange(users, device=gain_BM.device)
    chosen = []
    for _ in range(n):
        best_B = (gain_BM - diversity * closest_BM).argmax(dim=1)
        chosen.append(best_B)
        gain_BM = gain_BM.index_put((user_B, best_B), gain_BM.new_tensor(-torch.inf))
        cosine_BM = torch.einsum("bmd,bd->bm", direction_BMD, direction_BMD[user_B, best_B])
        closest_BM = torch.maximum(closest_BM, cosine_BM)
    return torch.stack(chosen, dim=1)


def _placed(part: Tensor, rows: Tensor, users: int, padding: float) -> Tensor:
    full = part.new_full((users, *part.shape[1:]), padding)
    full[rows.to(part.device)] = part
    return full
