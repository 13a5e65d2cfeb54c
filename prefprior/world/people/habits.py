"""How simulated users come across pictures and how they rate them, given their tastes.

Shapes: N pictures of the catalogue, R ratings of one user, K modes, M pictures near a mode.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from prefprior.world.people.tastes import Perceived, Taste, TasteModel

FEWEST, MOST = 8, 120  # ratings a user gives
# Where most users draw the lines between 1, 2, 3, 4 and 5, as utilities. Utility is near 0 for most of what there is,
# so that the lines are closer together there.
LINES = np.array([0.08, 0.25, 0.5, 0.75])


class Rated(NamedTuple):
    """One user's ratings, in the order in which they were given."""

    item_R: np.ndarray  # int: row in the catalogue
    rating_R: np.ndarray  # int, 1 to 5
    time_R: np.ndarray  # float64, seconds since 1970
    shown_R: np.ndarray  # bool: came up at random; the user looked for the rest
    lines_4: np.ndarray  # utilities at which this user goes over to the next rating
    question_R: np.ndarray | None = None  # int: which pictures were shown together, if this user chooses

    @property
    def answers(self) -> int:
        """How many ratings or choices."""
        return len(self.item_R) if self.question_R is None else int(self.question_R.max()) + 1


@dataclass(frozen=True, kw_only=True)
class Habits:
    """How users come across pictures and how they rate them."""

    sought: float = 0.6  # share of pictures looked for near one's modes; the rest are random
    reach: float = 0.015  # share of the catalogue in which one looks around a mode
    grid: int = 9  # pictures among which a user chooses
    noise: float = 0.08  # of a rating, in utility
    strictness_std: float = 0.05  # over users: how high their lines between two ratings lie, in utility
    line_distance_std: float = 0.2  # over users: how far apart those lines lie, as a logarithm

    def __post_init__(self) -> None:
        if not 0 <= self.sought <= 1 or not 0 < self.reach <= 1:
            raise ValueError(f"sought must be in [0, 1] and reach in (0, 1], got {self.sought} and {self.reach}")
        if self.grid < 2:
            raise ValueError(f"grid must be at least 2, got {self.grid}")
        if min(self.noise, self.strictness_std, self.line_distance_std) < 0:
            raise ValueError("noise, strictness_std and line_distance_std must be at least 0")

    def rate(self, taste: Taste, model: TasteModel, catalogue: Perceived, rng: np.random.Generator) -> Rated:
        """What a user finds and how they rate it; no picture is rated twice."""
        count = int(np.exp(rng.uniform(np.log(FEWEST), np.log(MOST + 1))))
        item_R, shown_R = self._found(taste, catalogue, min(count, len(catalogue)), rng)
        utility_R = model.utility(taste, catalogue.take(item_R), np.arange(len(item_R)))
        felt_R = utility_R + self.noise * rng.standard_normal(len(item_R))
        lines_4 = self._lines(rng)
        return Rated(item_R, 1 + (felt_R[:, None] > lines_4).sum(1), _times(len(item_R), rng), shown_R, lines_4)

    def choose(self, taste: Taste, model: TasteModel, catalogue: Perceived, rng: np.random.Generator) -> Rated:
        """What a user picks among `grid` random pictures at a time: the best of them, or none if they would rate even
        that one below 4. No picture is shown twice. A choice takes as long as three ratings: there are a third as many.
        """
        count = int(np.exp(rng.uniform(np.log(FEWEST), np.log(MOST + 1))))
        questions = max(min(-(-count // 3), len(catalogue) // self.grid), 1)
        item_QG = rng.permutation(len(catalogue))[: questions * self.grid].reshape(questions, -1)
        step_QG = np.broadcast_to(np.arange(questions)[:, None], item_QG.shape)
        utility_R = model.utility(taste, catalogue.take(item_QG.ravel()), step_QG.ravel())
        felt_QG = (utility_R + self.noise * rng.standard_normal(len(utility_R))).reshape(item_QG.shape)
        lines_4 = self._lines(rng)
        picked_QG = (felt_QG == felt_QG.max(1, keepdims=True)) & (felt_QG > lines_4[2])
        return Rated(
            item_R=item_QG.ravel(),
            rating_R=np.where(picked_QG, 5, 1).ravel(),
            time_R=np.repeat(_times(questions, rng), item_QG.shape[1]),
            shown_R=np.ones(item_QG.size, dtype=bool),
            lines_4=lines_4,
            question_R=step_QG.ravel(),
        )

    def _lines(self, rng: np.random.Generator) -> np.ndarray:
        """The utilities at which a user goes over to the next rating."""
        shift = self.strictness_std * rng.standard_normal()
        distance = np.exp(self.line_distance_std * rng.standard_normal())
        return np.asarray(0.5 + shift + distance * (LINES - 0.5))

    def _found(
        self, taste: Taste, catalogue: Perceived, count: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the catalogue: around each mode in turn, in shuffled rounds, mixed with random pictures; and which
        of them are those."""
        sought_R = rng.random(count) < self.sought
        rounds = -(-count // len(taste))
        turn_R = np.concatenate([rng.permutation(len(taste)) for _ in range(rounds)])[:count]
        nearby = max(round(self.reach * len(catalogue)), 1)
        cosine_KN = taste.modes_KF @ catalogue.view_NF.T
        row_R, shown_R = rng.choice(len(catalogue), count, replace=False), np.ones(count, dtype=bool)
        # What is looked for replaces random pictures; who has seen all that is near goes on with those.
        for k in range(len(taste)):
            mine = np.flatnonzero(sought_R & (turn_R == k))
            near_M = np.argpartition(cosine_KN[k], -nearby)[-nearby:]
            fresh_M = np.setdiff1d(near_M, row_R)
            mine = mine[: len(fresh_M)]
            row_R[mine] = rng.choice(fresh_M, len(mine), replace=False)
            shown_R[mine] = False
        return row_R, shown_R


def _times(count: int, rng: np.random.Generator) -> np.ndarray:
    """Sittings: mostly a minute apart, now and then days."""
    gap_R = rng.exponential(60.0, count) + (rng.random(count) < 0.1) * rng.exponential(3e5, count)
    return np.asarray(1.6e9 + rng.uniform(0, 1e8) + gap_R.cumsum())
