"""A population of simulated users: each has a known taste and ratings of their own.

A user is a function of the seed and of their own number alone: more users do not change the others.

Shapes: S schools, F views, R ratings of one user.
"""

from dataclasses import dataclass, field, replace

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
    shown: float = 0.0  # share of the users who look for nothing: what they rate is shown to them at random
    choices: float = 0.0  # share of the users who choose among several pictures instead of rating them
    _tastes: dict[int, Taste] = field(default_factory=dict, init=False, repr=False)
    _rated: dict[int, Rated] = field(default_factory=dict, init=False, repr=False)

    def taste(self, person: int) -> Taste:
        """The taste of one user."""
        if person not in self._tastes:
            rng = np.random.default_rng([self.seed, person, 0])
            self._tastes[person] = self.model.draw(self.schools_SF, self.catalogue, rng)
        return self._tastes[person]

    def looks_for_nothing(self, person: int) -> bool:
        """Whether all that a user rates was shown to them; a larger share adds users and keeps those it has."""
        return bool(np.random.default_rng([self.seed, person, 2]).random() < self.shown)

    def chooses(self, person: int) -> bool:
        """Whether a user chooses; a larger share adds users and keeps those it has."""
        return bool(np.random.default_rng([self.seed, person, 7]).random() < self.choices)

    def ratings(self, person: int) -> Rated:
        """The ratings of one user, or their choices."""
        if person not in self._rated and self.chooses(person):
            rng = np.random.default_rng([self.seed, person, 8])
            self._rated[person] = self.habits.choose(self.taste(person), self.model, self.catalogue, rng)
        if person not in self._rated:
            rng = np.random.default_rng([self.seed, person, 1])
            habits = replace(self.habits, sought=0.0) if self.looks_for_nothing(person) else self.habits
            self._rated[person] = habits.rate(self.taste(person), self.model, self.catalogue, rng)
        return self._rated[person]

    def rate_at_random(self, person: int, count: int, without: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows of `count` pictures drawn at random from all but `without`, and how the user rates them now, (R,) each.

        A smaller count gives the beginning of a larger one's.
        """
        pictures, moods = (np.random.default_rng([self.seed, person, stream]) for stream in (3, 4))
        order_N = pictures.permutation(len(self.catalogue))
        row_R = order_N[~np.isin(order_N, without)][:count]
        _, rating_R = self.asked(person, self.catalogue.take(row_R), moods)
        return row_R, rating_R

    def asked(self, person: int, seen: Perceived, moods: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(N,) how much the user likes some pictures at this moment, after all that they rated, and their ratings."""
        rated = self.ratings(person)
        utility_N = self.model.utility(self.taste(person), seen, rated.answers)
        felt_N = utility_N + self.habits.noise * moods.standard_normal(len(utility_N))
        return felt_N, 1 + (felt_N[:, None] > rated.lines_4).sum(1)
