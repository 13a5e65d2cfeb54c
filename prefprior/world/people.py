"""Simulated people: each has a known taste, a way of looking for pictures and a way of using a rating scale.

A person is a function of the seed and of their own number alone: asking for more people changes nobody.

Shapes: N pictures of the catalogue, R ratings of one person, K modes, F views, S schools.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from prefprior.world.tastes import Seen, Taste, TasteModel

FEWEST, MOST = 8, 120  # ratings a person gives
# Where most people draw the lines between 1, 2, 3, 4 and 5, as utilities. Utility is near 0 for most of what there is,
# so that the lines are closer together there.
LINES = np.array([0.08, 0.25, 0.5, 0.75])


class Rated(NamedTuple):
    """One person's ratings, in the order in which they were given."""

    item_R: np.ndarray  # int: row in the catalogue
    rating_R: np.ndarray  # int, 1 to 5
    time_R: np.ndarray  # float64, seconds since 1970


@dataclass(frozen=True, kw_only=True)
class Habits:
    """How people come across pictures and how they rate them."""

    sought: float = 0.6  # share of pictures looked for near one's modes; the rest come along by chance
    reach: float = 0.015  # share of the catalogue in which one looks around a mode
    noise: float = 0.08  # of a rating, in utility
    lean: float = 0.05  # standard deviation over people of how strict they are, in utility
    stretch: float = 0.2  # standard deviation over people of the log-distance between their lines

    def __post_init__(self) -> None:
        if not 0 <= self.sought <= 1 or not 0 < self.reach <= 1:
            raise ValueError(f"sought must be in [0, 1] and reach in (0, 1], got {self.sought} and {self.reach}")
        if min(self.noise, self.lean, self.stretch) < 0:
            raise ValueError("noise, lean and stretch must not be negative")

    def rate(self, taste: Taste, model: TasteModel, catalogue: Seen, rng: np.random.Generator) -> Rated:
        """What a person meets and how they rate it; no picture is rated twice."""
        count = int(np.exp(rng.uniform(np.log(FEWEST), np.log(MOST + 1))))
        item_R = self._meet(taste, catalogue, min(count, len(catalogue)), rng)
        utility_R = model.utility(taste, catalogue.take(item_R), np.arange(len(item_R)))
        felt_R = utility_R + self.noise * rng.standard_normal(len(item_R))
        lines = 0.5 + self.lean * rng.standard_normal() + np.exp(self.stretch * rng.standard_normal()) * (LINES - 0.5)
        # Sittings: mostly a minute apart, now and then days.
        gap_R = rng.exponential(60.0, len(item_R)) + (rng.random(len(item_R)) < 0.1) * rng.exponential(3e5, len(item_R))
        return Rated(item_R, 1 + (felt_R[:, None] > lines).sum(1), 1.6e9 + rng.uniform(0, 1e8) + gap_R.cumsum())

    def _meet(self, taste: Taste, catalogue: Seen, count: int, rng: np.random.Generator) -> np.ndarray:
        """Rows of the catalogue: around each mode in turn, in shuffled rounds, mixed with what comes by chance."""
        sought_R = rng.random(count) < self.sought
        rounds = -(-count // len(taste))
        turn_R = np.concatenate([rng.permutation(len(taste)) for _ in range(rounds)])[:count]
        nearby = max(round(self.reach * len(catalogue)), 1)
        cosine_KN = taste.modes_KF @ catalogue.view_NF.T
        row_R = rng.choice(len(catalogue), count, replace=False)
        # What is looked for replaces what chance brought; who has seen all that is near goes on by chance.
        for k in range(len(taste)):
            mine = np.flatnonzero(sought_R & (turn_R == k))
            near_M = np.argpartition(cosine_KN[k], -nearby)[-nearby:]
            fresh_M = np.setdiff1d(near_M, row_R)
            mine = mine[: len(fresh_M)]
            row_R[mine] = rng.choice(fresh_M, len(mine), replace=False)
        return row_R


@dataclass(frozen=True, eq=False)
class People:
    """A population over a catalogue; person p is asked for by number."""

    seed: int
    count: int
    model: TasteModel
    habits: Habits
    schools_SF: np.ndarray
    catalogue: Seen
    _tastes: dict[int, Taste] = field(default_factory=dict, init=False, repr=False)
    _rated: dict[int, Rated] = field(default_factory=dict, init=False, repr=False)

    def taste(self, person: int) -> Taste:
        """The taste of one person."""
        if person not in self._tastes:
            rng = np.random.default_rng([self.seed, person, 0])
            self._tastes[person] = self.model.draw(self.schools_SF, self.catalogue, rng)
        return self._tastes[person]

    def ratings(self, person: int) -> Rated:
        """The ratings of one person."""
        if person not in self._rated:
            rng = np.random.default_rng([self.seed, person, 1])
            self._rated[person] = self.habits.rate(self.taste(person), self.model, self.catalogue, rng)
        return self._rated[person]
