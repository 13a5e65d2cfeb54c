"""The question whose answer says most about the taste: mutual information over sampled tastes.

Shapes: P tastes, N candidates, F favourites, S questions, G grids, M items shown.
"""

import torch
from torch import Tensor

from prefprior.elicitation.policies.policy import Policy, Situation
from prefprior.elicitation.policies.thompson import best_of_each, favourites
from prefprior.errors import require_between

AT_ONCE = 1 << 18  # utilities gathered at once: what stays in a core's cache is several times quicker


class Information(Policy):
    """The most informative of many questions; for grids, improved slot by slot."""

    def __init__(self, *, proposals: int = 1500, tastes: int = 256, starts: int = 16) -> None:
        """`proposals` pairs are compared, and in a grid as many alternatives in all slots together; `tastes` are drawn
        by weight; a grid is the best of `starts` grids of Thompson sampling, improved."""
        require_between("policy.proposals", proposals, 1, 10_000_000)
        require_between("policy.tastes", tastes, 2, 1_000_000)
        require_between("policy.starts", starts, 1, 10_000)
        self.proposals, self.tastes, self.starts = proposals, tastes, starts

    def choose(self, situation: Situation, generator: torch.Generator) -> list[int]:
        """Searches by the kind of question."""
        utility_PN = situation.utility_PN[situation.drawn(self.tastes, generator)]
        shown = situation.kind.shown
        if shown == 1:
            information_N = self._of(situation, utility_PN, torch.arange(utility_PN.shape[1])[:, None])
            return [situation.best(information_N, [])]
        if shown == 2:
            return self._pair(situation, utility_PN, generator)
        return self._grid(situation, utility_PN, generator)

    def _pair(self, situation: Situation, utility_PN: Tensor, generator: torch.Generator) -> list[int]:
        """Of random pairs: half of any pictures, half of a sampled taste's favourites."""
        open_rows = situation.open_N.nonzero()[:, 0]
        number_S2 = torch.randint(len(open_rows), (self.proposals, 2), generator=generator)
        pair_S2 = open_rows[number_S2]
        favourite_F = favourites(situation, utility_PN).flatten()
        half = self.proposals // 2
        pair_S2[:half] = favourite_F[torch.randint(len(favourite_F), (half, 2), generator=generator)]
        pair_S2 = situation.distinct(pair_S2)
        if not len(pair_S2):
            return situation.filled([], generator)
        return pair_S2[int(self._of(situation, utility_PN, pair_S2).argmax())].tolist()

    def _grid(self, situation: Situation, utility_PN: Tensor, generator: torch.Generator) -> list[int]:
        """Grids of Thompson sampling; of the best, each slot in turn takes the best of some favourites.

        Alternatives of a slot are compared as if every answer said something. If a fifth do not, that costs 0.2 % of
        the information.
        """
        favourite_PF, shown = favourites(situation, utility_PN), situation.kind.shown
        row_GM = torch.arange(self.starts * shown).reshape(-1, shown) % len(utility_PN)
        grid_GM = best_of_each(situation, utility_PN, favourite_PF, row_GM)
        pool_F = torch.cat([favourite_PF.flatten(), grid_GM.flatten()]).unique()
        utility_PF, place_GM = utility_PN.index_select(1, pool_F), torch.searchsorted(pool_F, grid_GM)
        place_M = place_GM[int(self._of(situation, utility_PF, place_GM).argmax())]
        for slot in range(shown):
            others_K = torch.cat([place_M[:slot], place_M[slot + 1 :]])
            tried_S = torch.randperm(len(pool_F), generator=generator)[: max(self.proposals // shown, 1)]
            tried_S = tried_S[~situation.alike(pool_F[tried_S], pool_F[others_K]).any(1)]
            tried_S = torch.cat([place_M[slot : slot + 1], tried_S])
            shown_PK, tried_PS = (utility_PF.index_select(1, place) for place in (others_K, tried_S))
            information_S = situation.model.information_of_alternatives(
                shown_PK, tried_PS, _weight(utility_PF), situation.kind
            )
            place_M[slot] = tried_S[information_S.argmax()]
        return pool_F[place_M].tolist()

    def _of(self, situation: Situation, utility_PN: Tensor, items_SM: Tensor) -> Tensor:
        """(S,) the information of each question."""
        weight_P = _weight(utility_PN)
        size = max(1, AT_ONCE // (len(utility_PN) * max(items_SM.shape[1], len(situation.model.thresholds) + 1)))
        found = []
        for some_SM in items_SM.split(size):
            utility_MPS = torch.stack([utility_PN.index_select(1, item_S) for item_S in some_SM.T])
            found.append(situation.model.information(utility_MPS.movedim(0, -1), weight_P, situation.kind))
        return torch.cat(found)


def _weight(utility_PN: Tensor) -> Tensor:
    """(P,) tastes were drawn by weight, so all count the same."""
    return torch.full((len(utility_PN),), 1 / len(utility_PN))
