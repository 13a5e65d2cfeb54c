"""Who answers questions: simulated users of the world, or users of a data set whose ratings are replayed.

Shapes: N candidates for questions, M items shown, F items that are never asked.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from prefprior.data.scaling import PersonScale
from prefprior.elicitation.questions import Answer, Question
from prefprior.errors import require_between
from prefprior.world.source import WorldSource


class Person(Protocol):
    """One user who can be asked."""

    user: str
    hidden: tuple[int, ...]  # candidates of which every question shows exactly one; none: policies choose freely

    def answer(self, question: Question) -> Answer:
        """What they say."""


@dataclass(frozen=True)
class Manner:
    """How people answer apart from their taste."""

    flips: float = 0.0  # share of the answers that are drawn at random
    patience: int | None = None  # stops after so many answers; None: never

    def __post_init__(self) -> None:
        require_between("manner.flips", self.flips, 0, 1)
        if self.patience is not None:
            require_between("manner.patience", self.patience, 0, 1_000_000)


def at_random(question: Question, levels: "Levels", rng: np.random.Generator) -> Answer:
    """An answer that says nothing."""
    if question.kind.is_rating:
        return question.rated(int(rng.integers(len(levels))))
    options: list[list[int]] = [[item] for item in question.items] + ([[]] if question.kind.none else [])
    return question.chosen(options[rng.integers(len(options))])


class WorldPerson:
    """A user of the world looks at any picture; nothing of what they rated before is used."""

    def __init__(
        self,
        *,
        user: str,
        source: WorldSource,
        candidates_ND: Tensor,
        levels: "Levels",
        manner: Manner,
        rng: np.random.Generator,
    ) -> None:
        self.user, self.source, self.candidates_ND = user, source, candidates_ND
        self.hidden: tuple[int, ...] = ()
        self.levels, self.manner, self.rng = levels, manner, rng

    def answer(self, question: Question) -> Answer:
        """By true utility and the noise of the moment; none of these, where none is worth a 4."""
        felt_M, rating_M = self.source.answers(self.user, self.candidates_ND[list(question.items)], self.rng)
        if self.rng.random() < self.manner.flips:
            return at_random(question, self.levels, self.rng)
        if question.kind.is_rating:
            return question.rated(int(self.levels.numbers(rating_M)[0]))
        best = int(felt_M.argmax())
        if question.kind.none and self.levels.numbers(rating_M)[best] < self.levels.likes_from:
            return question.chosen([])
        return question.chosen([question.items[best]])


class ReplayedPerson:
    """A user of a data set, who can be asked only about what they rated.

    Where all ratings are likes, they choose what they liked among pictures that they did not come to.
    """

    def __init__(
        self,
        *,
        user: str,
        said: dict[int, int],
        likes: bool,
        levels: "Levels",
        manner: Manner,
        rng: np.random.Generator,
    ) -> None:
        """`said` maps candidates to levels; with `likes`, each question has one of these among other items."""
        self.user, self.said, self.hidden = user, said, tuple(said) if likes else ()
        self.levels, self.manner, self.rng = levels, manner, rng

    def answer(self, question: Question) -> Answer:
        """The rating they gave; of several, those they rated highest."""
        if self.rng.random() < self.manner.flips:
            return at_random(question, self.levels, self.rng)
        if question.kind.is_rating:
            return question.rated(self.said[question.items[0]])
        ratings = [self.said.get(item, -1) for item in question.items]
        best = max(ratings)
        if question.kind.none and best < self.levels.likes_from:
            return question.chosen([])
        return question.chosen([item for item, rating in zip(question.items, ratings, strict=True) if rating == best])


@dataclass(frozen=True)
class Levels:
    """The ratings that can be given: as the source has them, and between -1 and 1 as those of a stranger are read."""

    raw: tuple[float, ...]
    signed: tuple[float, ...]
    likes_from: int  # the number of the first level that is a like

    @classmethod
    def of(cls, scale: PersonScale, ratings_N: np.ndarray, most: int = 21) -> "Levels":
        """Those of the data, or evenly spaced ones where they are many."""
        raw = np.unique(ratings_N).astype(np.float32)
        if len(raw) > most:
            raw = np.linspace(scale.scale.low, scale.scale.high, most, dtype=np.float32)
        nothing = np.zeros((1, 1), dtype=np.float32)
        signed = scale.signed(raw[None], nothing, np.zeros((1, 1), dtype=bool))[0]
        liked = min(int(np.searchsorted(raw, scale.scale.likes_from)), len(raw) - 1)
        return cls(tuple(map(float, raw)), tuple(map(float, signed)), liked)

    def __len__(self) -> int:
        return len(self.raw)

    def numbers(self, rating: np.ndarray) -> np.ndarray:
        """The number of the nearest level, for each rating of the source."""
        return np.abs(np.asarray(rating, dtype=np.float32)[..., None] - np.array(self.raw)).argmin(-1)
