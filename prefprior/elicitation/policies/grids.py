"""Searches grids whose answers say most about the tastes of several people, all of them together.

A grid is the best of some grids of Thompson sampling; then each slot in turn takes the best of some favourites. What is
drawn is drawn from each person's generator, in the same order however many there are.

Shapes: B people, P tastes drawn, T different ones of them, padded; F favourites of a person, padded; S of them tried,
G grids, M items shown, K of them without one, D dimension.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from prefprior.elicitation.policies.policy import Situation
from prefprior.elicitation.policies.thompson import best_of_each


class Grids:
    """Where the search begins: the best of grids of Thompson sampling, of each person."""

    def __init__(
        self, situations: Sequence[Situation], row_BP: Tensor, favourite_BPF: Tensor, *, starts: int
    ) -> None:  # fmt: skip
        """`row_BP` are tastes, drawn by weight, so that all count the same; `favourite_BPF` is what each likes best."""
        shown, tastes = situations[0].kind.shown, row_BP.shape[1]
        self._situations, self._model, self._kind = situations, situations[0].model, situations[0].kind
        taste_GM = torch.arange(starts * shown).reshape(-1, shown) % tastes
        grid_BGM = best_of_each(situations, row_BP, favourite_BPF, taste_GM)
        self._pools = [
            _marked(len(each.open_N), favourite_PF, grid_GM)
            for each, favourite_PF, grid_GM in zip(situations, favourite_BPF, grid_BGM, strict=True)
        ]
        # Tastes that are drawn again are computed once, and count the more.
        drawn = [row_P.unique(return_counts=True) for row_P in row_BP]
        people, most, different = len(situations), max(map(len, self._pools)), max(len(row_T) for row_T, _ in drawn)
        self._weight_BT = torch.zeros(people, different)
        self._utility_BFT = torch.zeros(people, most, different)
        self._direction_BFD = torch.zeros(people, most, situations[0].direction_ND.shape[1])
        place_BGM = torch.empty_like(grid_BGM)
        for b, (each, pool_F, (row_T, count_T)) in enumerate(zip(situations, self._pools, drawn, strict=True)):
            self._weight_BT[b, : len(row_T)] = count_T / tastes
            utility_TN = each.utility_PN.index_select(0, row_T)
            self._utility_BFT[b, : len(pool_F), : len(row_T)] = utility_TN.index_select(1, pool_F).T
            self._direction_BFD[b, : len(pool_F)] = each.direction_ND.index_select(0, pool_F)
            place_BGM[b] = torch.searchsorted(pool_F, grid_BGM[b])
        self._first_B1 = torch.arange(people)[:, None] * most  # of each person, in one row after the other
        grids_BG = self._information(place_BGM)
        self._place_BM = place_BGM[torch.arange(people), grids_BG.argmax(1)]

    def improved(self, generators: Sequence[torch.Generator], proposals: int) -> list[list[int]]:
        """The grid of each person, as candidates, after `proposals` alternatives in all slots together.

        Alternatives of a slot are compared as if every answer said something. If a fifth do not, that costs 0.2 % of
        the information.
        """
        shown, most_alike = self._kind.shown, self._situations[0].most_alike
        count, place_BM = max(proposals // shown, 1), self._place_BM
        tried_BMS = torch.full((len(place_BM), shown, count), -1)  # -1: the pool has no more
        for tried_MS, pool_F, draws in zip(tried_BMS, self._pools, generators, strict=True):
            for tried_S in tried_MS:
                drawn = torch.randperm(len(pool_F), generator=draws)[:count]
                tried_S[: len(drawn)] = drawn
        for slot in range(shown):
            others_BK = torch.cat([place_BM[:, :slot], place_BM[:, slot + 1 :]], dim=1)
            tried_BS, missing_BS = tried_BMS[:, slot].clamp_min(0), tried_BMS[:, slot] < 0
            cosine_BSK = self._of(self._direction_BFD, tried_BS) @ self._of(self._direction_BFD, others_BK).mT
            alike_BS = ((cosine_BSK >= most_alike) | (tried_BS[..., None] == others_BK[:, None])).any(-1)
            tried_BS = torch.cat([place_BM[:, slot : slot + 1], tried_BS], dim=1)
            shown_BKT, tried_BST = self._of(self._utility_BFT, others_BK), self._of(self._utility_BFT, tried_BS)
            information_BS = self._model.information_of_alternatives(shown_BKT, tried_BST, self._weight_BT, self._kind)
            information_BS[:, 1:].masked_fill_(alike_BS | missing_BS, -torch.inf)
            place_BM[:, slot] = tried_BS.take_along_dim(information_BS.argmax(1, keepdim=True), dim=1)[:, 0]
        return [pool_F[place_M].tolist() for pool_F, place_M in zip(self._pools, place_BM, strict=True)]

    def _of(self, all_BFD: Tensor, place_BS: Tensor) -> Tensor:
        """Some rows of each person; quicker than by two indices."""
        rows = all_BFD.flatten(0, 1).index_select(0, (place_BS + self._first_B1).flatten())
        return rows.view(*place_BS.shape, all_BFD.shape[-1])

    def _information(self, place_BGM: Tensor) -> Tensor:
        utility_BST = self._of(self._utility_BFT, place_BGM.flatten(1))
        utility_BTGM = utility_BST.view(*place_BGM.shape, -1).movedim(-1, 1)
        people = zip(utility_BTGM, self._weight_BT, strict=True)
        return torch.stack([self._model.information(each_TGM, weight_T, self._kind) for each_TGM, weight_T in people])


def _marked(candidates: int, *items: Tensor) -> Tensor:
    """Each of some candidates once, in order."""
    marked_N = torch.zeros(candidates, dtype=torch.bool)
    for some in items:
        marked_N[some.flatten()] = True
    return marked_N.nonzero()[:, 0]
