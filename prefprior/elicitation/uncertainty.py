"""How much a belief still takes to be possible: how probable the next like is in each cell of the catalogue.

Posterior samples are few, so that counted by cells, many a possible cell has none. Each sample counts in the cells
around it, as sharply as is best for the held-out likes of validation users.

Shapes: B users, N items, n samples, C cells, F likes of one user, T likes of all, D dimension.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from sklearn.cluster import MiniBatchKMeans
from torch import Tensor

from prefprior.data.held_out import HeldOutUsers
from prefprior.elicitation.posterior import Posterior
from prefprior.elicitation.tastes import Tastes
from prefprior.inference.certainty import bare, spread
from prefprior.predictor import Catalogue
from prefprior.ratings import RatingsTable

CELLS, CUT_BY = 64, 20_000  # cells, and the random items that they are cut by
SAMPLES = 128
SHARE = 0.9
LEAST = 1e-9  # a probability in a logarithm
TEMPERATURES = (0.01, 0.02, 0.035, 0.05, 0.07, 0.1, 0.14, 0.2, 0.3, 0.5)  # of cosines to the centres


@dataclass(frozen=True, eq=False)
class Cells:
    """The catalogue, cut by k-means."""

    centre_CD: Tensor  # directions
    temperature: float = 0.1

    @classmethod
    def cut(cls, catalogue: Catalogue, seed: int) -> "Cells":
        """At most `CELLS` of them."""
        rows = np.random.default_rng(seed).permutation(len(catalogue))[:CUT_BY]
        raw_ND = catalogue.embeddings_ND[torch.from_numpy(rows)].float()
        unit_ND = catalogue.space.directions(raw_ND).numpy()
        found = MiniBatchKMeans(min(CELLS, len(rows)), random_state=seed, n_init=3).fit(unit_ND)
        return cls(torch.nn.functional.normalize(torch.from_numpy(found.cluster_centers_).float(), dim=1))

    def of(self, unit: Tensor) -> Tensor:
        """(...,) the cell of each direction."""
        return (unit @ self.centre_CD.T).argmax(-1)

    def mass(self, unit_BnD: Tensor) -> Tensor:
        """(..., C) how probable each cell is, given samples."""
        return (unit_BnD @ self.centre_CD.T / self.temperature).softmax(-1).mean(-2)

    def possible(self, unit_nD: Tensor, share: float = SHARE) -> Tensor:
        """The fewest cells that hold a share of what is probable."""
        mass_C, order_C = self.mass(unit_nD).sort(descending=True)
        return order_C[: int((mass_C.cumsum(0) < share).sum()) + 1]

    def fitted(self, tastes: Tastes, people: HeldOutUsers, generator: torch.Generator) -> "Cells":
        """At the temperature that makes held-out likes of users most probable: by bare samples of a stranger's tastes,
        and of their own when half of their ratings are known."""
        predictor = tastes.predictor
        space, user_T, place_T = predictor.space, *people.held_liked_BT.nonzero(as_tuple=True)
        if not len(user_T):
            return self
        rows = torch.randint(len(tastes), (SAMPLES,), generator=generator)
        stranger_1nD = tastes.take(rows).draws(1, generator, guided=False)[:, 0][None]
        known_BnD = predictor.sample(people.history(), SAMPLES, generator, sampler=bare(predictor.sampler)).cpu()
        unit_BnD = torch.cat([space.directions(stranger_1nD), space.directions(known_BnD)])
        item_T = people.held_item_BT[user_T, place_T]
        cell_T = self.of(space.directions(people.catalogue.embeddings_ND[item_T].float()))
        weight_T = 1 / people.held_liked_BT.sum(1)[user_T]  # all users count the same

        def fit(cells: "Cells") -> float:
            log_BC = cells.mass(unit_BnD).clamp_min(LEAST).log()
            return float((weight_T * (log_BC[0, cell_T] + log_BC[1 + user_T, cell_T])).sum())

        return max((replace(self, temperature=each) for each in TEMPERATURES), key=fit)


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """Whether the cells that a belief takes to be possible hold what the user likes."""

    cells: Cells
    liked_cell_F: Tensor  # of held-out likes

    @classmethod
    def of(
        cls, cells: Cells, catalogue: Catalogue, table: RatingsTable, users: Sequence[str]
    ) -> "dict[str, Uncertainty]":
        """For the users who have likes."""
        cell_N = cells.of(catalogue.space.directions(catalogue.embeddings_ND[torch.from_numpy(table.item_N)].float()))
        liked = {user: rows[table.liked_N[rows]] for user, rows in table.rows_of(users).items()}
        return {user: cls(cells, cell_N[torch.from_numpy(rows)]) for user, rows in liked.items() if len(rows)}

    def figures(self, belief: Posterior, generator: torch.Generator) -> dict[str, float]:
        """`held_90` should be .9; `cells_90` is the share of the cells that it takes; `concentration` says how close
        together the samples are."""
        unit_nD = belief.space.directions(belief.draws(SAMPLES, generator, guided=False))
        possible = self.cells.possible(unit_nD)
        held = torch.isin(self.liked_cell_F, possible).double().mean()
        share = len(possible) / len(self.cells.centre_CD)
        return {"held_90": float(held), "cells_90": share, "concentration": float(spread(unit_nD[None])[0])}
