"""How much a choice says of a user's ratings: `delta` and the noise of its observation, from choices held out.

Shapes: B users, Q decided questions of a user (history first, then targets), D dimension.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.special import log_ndtr

from prefprior.data.histories.sequences import Sequences
from prefprior.models.rating.item_means import ItemMeans
from prefprior.ratings import RatingScale, starts_answer

USERS, LONGEST, TARGETS = 128, 32, 8
DELTAS = (0.125, 0.25, 0.5, 1.0, 2.0)
NOISES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


@dataclass(frozen=True, eq=False)
class Decided:
    """Some users' questions of which something, but not everything, was picked."""

    contrast_BQD: Tensor  # features of the picked items less those of the others, 0 where there is no question
    mean_BQ: Tensor  # of their mean ratings
    variance_BQ: Tensor
    valid_BQ: Tensor  # bool

    @classmethod
    def of(cls, users: Sequences, embeddings_ID: Tensor, scale: RatingScale, means: ItemMeans) -> "Decided | None":
        """Of the first users in the order of hashes who decided at least two; None if there is none."""
        assert users.question_N is not None
        draws = np.random.default_rng(0)
        shape = USERS, LONGEST + TARGETS
        found = cls(
            torch.zeros(*shape, embeddings_ID.shape[1]), torch.zeros(shape), torch.zeros(shape),
            torch.zeros(shape, dtype=torch.bool),
        )  # fmt: skip
        b = 0
        for user in np.argsort(users.hash_U, kind="stable"):
            questions = _decided(users, int(user), scale)
            if len(questions) < 2 or b == USERS:
                continue
            order = draws.permutation(len(questions))
            past = order[: min(len(order) // 2, LONGEST)]
            target = order[len(past) :][:TARGETS]
            for q, number in [*enumerate(past), *enumerate(target, LONGEST)]:
                rows, picked = questions[number]
                raw_KD = embeddings_ID[torch.from_numpy(users.item_N[rows]).long()].float()
                x_KD = means.features(raw_KD)
                mean_K, variance_K = means(raw_KD, x_KD)
                weight_K = torch.from_numpy(np.where(picked, 1 / picked.sum(), -1 / (~picked).sum())).float()
                found.contrast_BQD[b, q] = weight_K @ x_KD
                found.mean_BQ[b, q] = weight_K @ mean_K
                found.variance_BQ[b, q] = weight_K.square() @ variance_K
                found.valid_BQ[b, q] = True
            b += 1
        return found if b else None

    @cached_property
    def products_BQQ(self) -> Tensor:
        """Of the contrasts of each user."""
        return (self.contrast_BQD @ self.contrast_BQD.mT).double()

    def likelihood(self, taste: float, noise: float, delta: float, spread: float) -> float:
        """The mean log-probability of the held-out choices, by a probit model of noisy ratings, given the others."""
        past, target, valid_BQ = slice(LONGEST), slice(LONGEST, None), self.valid_BQ
        kernel_BQQ = taste * self.products_BQQ
        residual_BQ = torch.where(valid_BQ, delta - self.mean_BQ, 0).double()
        seen_BQQ = kernel_BQQ[:, past, past] + torch.diag_embed(spread + self.variance_BQ[:, past].double())
        dual_BQ1 = torch.linalg.solve(seen_BQQ, residual_BQ[:, past, None])
        better_BQ = self.mean_BQ[:, target] + (kernel_BQQ[:, target, past] @ dual_BQ1)[..., 0]
        return float(log_ndtr(better_BQ / math.sqrt(2 * noise))[valid_BQ[:, target]].mean())


def learned(decided: Decided, taste: float, noise: float) -> Tensor:
    """(2,) `delta` and the logarithm of the noise with which held-out choices are the most probable."""
    tried = [(decided.likelihood(taste, noise, delta, spread), delta, spread) for delta in DELTAS for spread in NOISES]
    _, delta, spread = max(tried)
    return torch.tensor([delta, math.log(spread)])


def _decided(users: Sequences, user: int, scale: RatingScale) -> list[tuple[np.ndarray, np.ndarray]]:
    """The rows of each of a user's decided questions, and which of them were picked."""
    assert users.question_N is not None
    rows = np.arange(users.start_U[user], users.start_U[user] + users.count_U[user])
    begins = np.flatnonzero(starts_answer(np.zeros_like(rows), users.question_N[rows]))
    answers = [answer for answer in np.split(rows, begins[1:]) if users.question_N[answer[0]] >= 0] if len(rows) else []
    told = [(answer, scale.is_pick(users.rating_N[answer])) for answer in answers]
    return [(answer, picked) for answer, picked in told if picked.any() and not picked.all()]
