"""Personalisation: each user's samples, scored by a verifier of their own taste and by those of all other users.

The verifier of a user is a ridge direction fit on their held-out ratings, which no predictor has seen. The test
follows REBECA (Patron et al. 2025): if samples are personal, their owner's verifier prefers them to other users'.

Shapes: B users (owners of samples), V verifiers (the same users), n samples, T held out, D dimension, P permutations.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from prefprior.data.held_out import HeldOutUsers
from prefprior.evaluation.metrics.rating import auc

PERMUTATIONS = 2000
STRENGTH = 1.0


@dataclass(frozen=True, eq=False)
class PersonalGap:
    """Own against other users', by user, and the permutation test over users."""

    gap_B: Tensor  # own samples less other users', in standard deviations of the verifier
    gap: float
    p_value: float
    null_P: np.ndarray  # the gap when samples are assigned to users at random


def personal_gap(samples_BnD: Tensor, people: HeldOutUsers, seed: int = 0) -> PersonalGap | None:
    """The verifiers' verdict; None for fewer than three users who can be judged."""
    able_B = people.held_liked_BT.any(1)
    if int(able_B.sum()) < 3:
        return None
    space = people.catalogue.space
    verifier_VD = verifiers(people)[able_B]
    made_BnD = space.directions(samples_BnD[able_B])
    verdict_BV = made_BnD.mean(1) @ verifier_VD.T
    # In units of each verifier's own spread over everybody's samples: verifiers of strong opinions count no more.
    spread_V = (made_BnD.flatten(0, 1) @ verifier_VD.T).std(0).clamp_min(1e-9)
    verdict_BV = (verdict_BV / spread_V).double()
    gaps_BV = verdict_BV - (verdict_BV.sum(0) - verdict_BV) / (len(verdict_BV) - 1)
    gap_B = torch.full((len(people),), torch.nan, dtype=torch.float64)
    gap_B[able_B] = gaps_BV.diagonal()
    null_P = _null(gaps_BV.numpy(), seed)
    gap = float(gaps_BV.diagonal().mean())
    # The observed order is one of the permutations, so p is never 0.
    p_value = (1 + int((null_P >= gap - 1e-12).sum())) / (1 + len(null_P))
    return PersonalGap(gap_B, gap, p_value, null_P)


def verifiers(people: HeldOutUsers, keep_BT: Tensor | None = None) -> Tensor:
    """(V, D) ridge directions from standardised embeddings to ratings, fit on (some of) what is held out."""
    valid_BT = people.held_valid_BT if keep_BT is None else people.held_valid_BT & keep_BT
    unit_BTD = people.catalogue.space.directions(people.held_embeddings()) * valid_BT[..., None]
    gram_BTT = unit_BTD @ unit_BTD.transpose(1, 2)
    rating_BT = people.held_rating_BT * valid_BT
    eye_TT = torch.eye(gram_BTT.shape[1])
    dual_BT = torch.linalg.solve(gram_BTT + STRENGTH * eye_TT, rating_BT[..., None])
    return (unit_BTD.transpose(1, 2) @ dual_BT)[..., 0]


def verifier_auc(people: HeldOutUsers) -> Tensor:
    """(B,) how well a verifier fit on every other held-out rating tells likes from dislikes among the rest."""
    even_T = torch.arange(people.held_item_BT.shape[1]) % 2 == 0
    unit_BTD = people.catalogue.space.directions(people.held_embeddings())
    values = []
    for fit_T in (even_T, ~even_T):
        score_BT = (unit_BTD @ verifiers(people, fit_T.expand_as(people.held_item_BT))[..., None])[..., 0]
        values.append(auc(score_BT, people.held_liked_BT & ~fit_T, people.held_disliked_BT & ~fit_T))
    return torch.stack(values).nanmean(0)


def _null(gaps_BV: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    verifier_V = np.arange(len(gaps_BV))
    return np.array([gaps_BV[rng.permutation(len(gaps_BV)), verifier_V].mean() for _ in range(PERMUTATIONS)])
