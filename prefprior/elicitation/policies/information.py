"""The question whose answer says most about the taste: mutual information over sampled tastes.

Shapes: P tastes, N candidates, S questions, M items shown.
"""

import torch
from torch import Tensor

from prefprior.elicitation.policies.policy import Policy, Situation
from prefprior.elicitation.policies.thompson import Thompson
from prefprior.errors import require_between

AT_ONCE = 1 << 22  # utilities gathered at once


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
        allowed_PN = torch.where(situation.open_N, utility_PN, -torch.inf)
        favourite_PF = allowed_PN.topk(min(10, len(open_rows)), dim=1).indices.flatten()
        half = self.proposals // 2
        pair_S2[:half] = favourite_PF[torch.randint(len(favourite_PF), (half, 2), generator=generator)]
        pair_S2 = situation.distinct(pair_S2)
        if not len(pair_S2):
            return situation.filled([], generator)
        return pair_S2[int(self._of(situation, utility_PN, pair_S2).argmax())].tolist()

    def _grid(self, situation: Situation, utility_PN: Tensor, generator: torch.Generator) -> list[int]:
        """Grids of Thompson sampling; of the best, each slot in turn takes the best of some favourites."""
        grids = [Thompson().choose(situation, generator) for _ in range(self.starts)]
        shown = grids[int(self._of(situation, utility_PN, torch.tensor(grids)).argmax())]
        each = max(self.proposals // len(shown), 1)
        allowed_PN = torch.where(situation.open_N, utility_PN, -torch.inf)
        favourite_F = allowed_PN.topk(min(10, int(situation.open_N.sum())), dim=1).indices.unique()
        for slot in range(len(shown)):
            others = shown[:slot] + shown[slot + 1 :]
            fits_N = situation.without_alike(torch.zeros(len(situation.open_N)), others) == 0
            tried_S = favourite_F[fits_N[favourite_F]]
            tried_S = tried_S[torch.randperm(len(tried_S), generator=generator)[:each]]
            tried_S = torch.cat([torch.tensor([shown[slot]]), tried_S])
            grid_SM = torch.tensor(shown).expand(len(tried_S), -1).clone()
            grid_SM[:, slot] = tried_S
            shown[slot] = int(tried_S[int(self._of(situation, utility_PN, grid_SM).argmax())])
        return shown

    def _of(self, situation: Situation, utility_PN: Tensor, items_SM: Tensor) -> Tensor:
        """(S,) the information of each question; tastes were drawn by weight, so all count the same."""
        weight_P = torch.full((len(utility_PN),), 1 / len(utility_PN))
        size = max(1, AT_ONCE // (len(utility_PN) * max(items_SM.shape[1], len(situation.model.thresholds) + 1)))
        return torch.cat(
            [
                situation.model.information(utility_PN[:, some_SM], weight_P, situation.kind)
                for some_SM in items_SM.split(size)
            ]
        )
