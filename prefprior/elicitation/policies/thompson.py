"""Thompson sampling: each slot of a question holds the best picture of another sampled taste.

Shapes: P tastes, G questions, M items shown, F favourites of a taste, N candidates.
"""

import torch
from torch import Tensor

from prefprior.elicitation.policies.policy import Policy, Situation

FAVOURITES = 10  # of a taste, among which one that can be shown is nearly always found


class Thompson(Policy):
    """One draw of a taste for each slot."""

    def choose(self, situation: Situation, generator: torch.Generator) -> list[int]:
        """The favourites of tastes drawn by weight."""
        utility_MN = situation.utility_PN[situation.drawn(situation.kind.shown, generator)]
        every_1M = torch.arange(len(utility_MN))[None]
        return best_of_each(situation, utility_MN, favourites(situation, utility_MN), every_1M)[0].tolist()


def favourites(situation: Situation, utility_PN: Tensor) -> Tensor:
    """(P, F) what each taste likes best of what can be asked, the best first."""
    allowed_PN = torch.where(situation.open_N, utility_PN, -torch.inf)
    return allowed_PN.topk(min(FAVOURITES, int(situation.open_N.sum())), dim=1).indices


def best_of_each(situation: Situation, utility_PN: Tensor, favourite_PF: Tensor, row_GM: Tensor) -> Tensor:
    """(G, M) questions with one picture for each taste of their rows: its best that is not near to one before."""
    shown_GM = torch.zeros_like(row_GM)
    for slot in range(shown_GM.shape[1]):
        item_GF, before_Gm = favourite_PF[row_GM[:, slot]], shown_GM[:, :slot]
        cosine_GFm = situation.direction_ND[item_GF] @ situation.direction_ND[before_Gm].transpose(1, 2)
        fits_GF = ((cosine_GFm < situation.most_alike) & (item_GF[:, :, None] != before_Gm[:, None])).all(2)
        shown_GM[:, slot] = item_GF.gather(1, fits_GF.int().argmax(1, keepdim=True))[:, 0]
        for g in (~fits_GF.any(1)).nonzero()[:, 0].tolist():
            shown_GM[g, slot] = situation.best(utility_PN[row_GM[g, slot]], before_Gm[g].tolist())
    return shown_GM
