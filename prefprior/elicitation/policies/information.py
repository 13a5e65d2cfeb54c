"""The question whose answer says most about the taste: mutual information over sampled tastes.

Shapes: B people, P tastes, N candidates, F favourites, S questions, G grids, M items shown.
"""

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

from prefprior.elicitation.policies.grids import Grids
from prefprior.elicitation.policies.policy import Policy, Situation
from prefprior.elicitation.policies.thompson import favourites
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
        if situation.kind.shown > 2:
            return self.choose_all([situation], [generator])[0]
        row_P = situation.drawn(self.tastes, generator)
        utility_PN = situation.utility_PN.index_select(0, row_P)
        if situation.kind.shown == 1:
            information_N = self._of(situation, utility_PN, torch.arange(utility_PN.shape[1])[:, None])
            return [situation.best(information_N, [])]
        return self._pair(situation, row_P, utility_PN, generator)

    def choose_all(self, situations: Sequence[Situation], generators: Sequence[torch.Generator]) -> list[list[int]]:
        """Grids of several people are searched together."""
        if situations[0].kind.shown <= 2:
            return super().choose_all(situations, generators)
        drawn = [each.drawn(self.tastes, draws) for each, draws in zip(situations, generators, strict=True)]
        found = [favourites(each, row_P) for each, row_P in zip(situations, drawn, strict=True)]
        alike: dict[int, list[int]] = defaultdict(list)  # few are left to some
        for b, favourite_PF in enumerate(found):
            alike[favourite_PF.shape[1]].append(b)
        chosen: dict[int, list[int]] = {}
        for people in alike.values():
            grids = Grids(
                [situations[b] for b in people], torch.stack([drawn[b] for b in people]),
                torch.stack([found[b] for b in people]), starts=self.starts,
            )  # fmt: skip
            chosen |= zip(people, grids.improved([generators[b] for b in people], self.proposals), strict=True)
        return [chosen[b] for b in range(len(situations))]

    def _pair(
        self, situation: Situation, row_P: Tensor, utility_PN: Tensor, generator: torch.Generator
    ) -> list[int]:  # fmt: skip
        """Of random pairs: half of any pictures, half of a sampled taste's favourites."""
        open_rows = situation.open_N.nonzero()[:, 0]
        number_S2 = torch.randint(len(open_rows), (self.proposals, 2), generator=generator)
        pair_S2 = open_rows[number_S2]
        favourite_F = favourites(situation, row_P).flatten()
        half = self.proposals // 2
        pair_S2[:half] = favourite_F[torch.randint(len(favourite_F), (half, 2), generator=generator)]
        pair_S2 = situation.distinct(pair_S2)
        if not len(pair_S2):
            return situation.filled([], generator)
        return pair_S2[int(self._of(situation, utility_PN, pair_S2).argmax())].tolist()

    def _of(self, situation: Situation, utility_PN: Tensor, items_SM: Tensor) -> Tensor:
        """(S,) the information of each question. Tastes were drawn by weight, so all count the same."""
        weight_P = torch.full((len(utility_PN),), 1 / len(utility_PN))
        size = max(1, AT_ONCE // (len(utility_PN) * max(items_SM.shape[1], len(situation.model.thresholds) + 1)))
        found = []
        for some_SM in items_SM.split(size):
            utility_MPS = torch.stack([utility_PN.index_select(1, item_S) for item_S in some_SM.T])
            found.append(situation.model.information(utility_MPS.movedim(0, -1), weight_P, situation.kind))
        return torch.cat(found)
