"""Thompson sampling: each slot of a question holds the best picture of another sampled taste.

Shapes: B people, P tastes, G questions, M items shown, F favourites of a taste, N candidates, D dimension.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from prefprior.elicitation.policies.policy import Policy, Situation

FAVOURITES = 10  # of a taste, among which one that can be shown is nearly always found
WIDTHS = (32, 256)  # of what a taste likes best, so many are looked through for those that can be shown


class Thompson(Policy):
    """One draw of a taste for each slot."""

    def choose(self, situation: Situation, generator: torch.Generator) -> list[int]:
        """The favourites of tastes drawn by weight."""
        row_M = situation.drawn(situation.kind.shown, generator)
        every_1M = torch.arange(len(row_M))[None]
        return best_of_each([situation], row_M[None], favourites(situation, row_M)[None], every_1M)[0, 0].tolist()


def favourites(situation: Situation, row_P: Tensor) -> Tensor:
    """(P, F) what some tastes like best of what can be asked, the best first. Found once for each taste, of which some
    are drawn many times."""
    taste_T, place_P = row_P.unique(return_inverse=True)
    count = min(FAVOURITES, int(situation.open_N.sum()))
    favourite_TF, known_PK = torch.empty(len(taste_T), count, dtype=torch.long), situation.favourite_PK
    left_T = torch.arange(len(taste_T))  # whose favourites are not found yet
    for first_PK in [] if known_PK is None else [known_PK[:, :width] for width in WIDTHS]:
        item_TK = first_PK.index_select(0, taste_T[left_T])
        open_TK = situation.open_N[item_TK]
        rank_TK = open_TK.cumsum(1)
        enough_T = rank_TK[:, -1] >= count
        first_TK = open_TK & (rank_TK <= count) & enough_T[:, None]
        favourite_TF[left_T[enough_T]] = item_TK[first_TK].view(-1, count).long()
        left_T = left_T[~enough_T]
    if len(left_T):
        utility_TN = situation.utility_PN.index_select(0, taste_T[left_T])
        favourite_TF[left_T] = torch.where(situation.open_N, utility_TN, -torch.inf).topk(count, dim=1).indices
    return favourite_TF[place_P]


def best_of_each(
    situations: Sequence[Situation], row_BP: Tensor, favourite_BPF: Tensor, place_GM: Tensor
) -> Tensor:  # fmt: skip
    """(B, G, M) questions with one picture for each of their tastes, which are places in `row_BP`: its best that is not
    near to one before."""
    item_BGMF = favourite_BPF[:, place_GM]
    direction_BGMFD = torch.stack([each.direction_ND[some] for each, some in zip(situations, item_BGMF, strict=True)])
    shown_BGM, direction_BGMD = torch.zeros_like(item_BGMF[..., 0]), torch.zeros_like(direction_BGMFD[..., 0, :])
    for slot in range(place_GM.shape[1]):
        item_BGF, direction_BGFD = item_BGMF[:, :, slot], direction_BGMFD[:, :, slot]
        cosine_BGFm = direction_BGFD @ direction_BGMD[:, :, :slot].mT
        same_BGFm = item_BGF[..., None] == shown_BGM[:, :, None, :slot]
        fits_BGF = ((cosine_BGFm < situations[0].most_alike) & ~same_BGFm).all(-1)
        first_BG1 = fits_BGF.int().argmax(-1, keepdim=True)
        shown_BGM[:, :, slot] = item_BGF.gather(-1, first_BG1)[..., 0]
        direction_BGMD[:, :, slot] = direction_BGFD.take_along_dim(first_BG1[..., None], dim=-2)[..., 0, :]
        for b, g in (~fits_BGF.any(-1)).nonzero().tolist():
            situation, taste = situations[b], int(row_BP[b, place_GM[g, slot]])
            item = situation.best(situation.utility_PN[taste], shown_BGM[b, g, :slot].tolist())
            shown_BGM[b, g, slot], direction_BGMD[b, g, slot] = item, situation.direction_ND[item]
    return shown_BGM
