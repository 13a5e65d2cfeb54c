"""A population of simulated users: each has a known taste and ratings of their own.

A user is a function of the seed and of their own number alone: more users do not change the others.

Shapes: S schools, F views.
"""

from dataclasses import dataclass, field

import numpy as np

from prefprior.world.people.habits import Habits, Rated
from prefprior.world.people.tastes import Perceived, Taste, TasteModel


@dataclass(frozen=True, eq=False)
class Population:
    """Users over a catalogue, by number; what was once drawn of a user is kept."""

    seed: int
    count: int
    model: TasteModel
    habits: Habits
    schools_SF: np.ndarray
    catalogue: Perceived
    _tastes: dict[int, Taste] = field(default_factory=dict, init=False, repr=False)
    _rated: dict[int, Rated] = field(default_factory=dict, init=False, repr=False)

    def taste(self, person: int) -> Taste:
        """The taste of one user."""
        if person not in self._tastes:
            rng = np.random.default_rng([self.seed, person, 0])
            self._tastes[person] = self.model.draw(self.schools_SF, self.catalogue, rng)
        return self._tastes[person]

    def ratings(self, person: int) -> Rated:
        """The ratings of one user."""
        if person not in self._rated:
            rng = np.random.default_rng([self.seed, person, 1])
            self._rated[person] = self.habits.rate(self.taste(person), self.model, self.catalogue, rng)
        return self._rated[person]
