"""The world as a source of ratings, and the truth about its users, which no other source knows.

The only source that makes its own embeddings: everything about it follows from a seed and the miniature CLIP's weights.

Scaled utility says how good a picture is for one user: 0 is the mean true utility of the catalogue's pictures, what a
random picture has, and 1 that of the best `BEST` of the catalogue. It is not clipped: what was made for a user may
please them more than any picture there is, and what they dislike lies slightly below 0.

Shapes: N pictures, D dimension, K modes of one person, P people.
"""

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from torch import Tensor

from prefprior.data.embedding.table import EmbeddingTable
from prefprior.errors import require_between
from prefprior.nodes import Loadable
from prefprior.ratings import RatingScale, RatingsTable
from prefprior.space import Space
from prefprior.world import clip
from prefprior.world.catalogue import WorldPictures, caption_table, catalogue_table, references
from prefprior.world.people.habits import Habits, Rated
from prefprior.world.people.population import Population
from prefprior.world.people.schools import schools
from prefprior.world.people.tastes import Perceived, Perception, TasteModel
from prefprior.world.probe import FactorProbe
from prefprior.world.render.captions import describe
from prefprior.world.sessions import with_sessions

BEST = 0.005  # share of the catalogue that stands for "the best pictures" of a user
SCALE = RatingScale(low=1, high=5, likes_from=4)
COVERED = 0.5  # a mode is covered by a picture nearest to it whose scaled utility, by that mode alone, is at least this


class WorldSource(Loadable):
    """Simulated users who rate procedural pictures."""

    PATHS = ("root", "sessions")

    name = "world"

    def __init__(
        self,
        *,
        people: int = 4000,
        pictures: int = 6000,
        seed: int = 0,
        views: int = 8,
        sought: float = 0.6,
        shown: float = 0.0,
        choices: float = 0.0,
        sessions: str | None = None,
        noise: float = 0.08,
        root: str = "embeddings",
    ) -> None:
        """`views`: how many directions of the space users tell apart; `sought`: share of the pictures that a user
        looked for near their tastes, where the rest are random; `shown`: share of the users who look for nothing and
        rate random pictures only; `choices`: share of the users who choose among nine random pictures at a time instead
        of rating; `sessions`: a file of further answers of users (`world/sessions.py`); `noise`: of a rating, in
        utility; `root`: where embeddings are kept."""
        if people < 1 or pictures < 200:
            raise ValueError(f"the world needs at least 1 user and 200 pictures, got {people} and {pictures}")
        for name, share in (("sought", sought), ("shown", shown), ("choices", choices)):
            require_between(f"source.{name}", share, 0, 1)
        if not 0 <= noise < np.inf:
            raise ValueError(f"source.noise must be at least 0, got {noise}")
        self.count = people
        self.seed = seed
        self.views = views
        self.root = Path(root)
        self.sought, self.shown, self.choices, self.noise = sought, shown, choices, noise
        self.sessions = None if sessions is None else Path(sessions)
        self._habits = Habits(sought=sought, noise=noise)
        self._pictures = WorldPictures(pictures, seed)
        self._scales: dict[tuple[int, int], tuple[float, float]] = {}

    def pictures(self) -> WorldPictures:
        """The catalogue's pictures, drawn when opened."""
        return self._pictures

    def embeddings(self) -> EmbeddingTable:
        """The catalogue in the miniature CLIP's space; made where missing or stale. Its texts are captions."""
        table = catalogue_table(self._pictures, self._folder)
        return replace(table, read_texts=lambda: caption_table(self._pictures))

    def ratings(self) -> RatingsTable:
        """The ratings and choices of all users; the tastes behind them are not in the table."""
        rated = [self._people.ratings(person) for person in range(self.count)]
        facts = {"seed": self.seed, "views": self.views, "sought": self.sought, "shown": self.shown}
        table = RatingsTable(
            source=self.name,
            scale=SCALE,
            users=np.array([_name(person) for person in range(self.count)]),
            items=np.array(self._pictures.ids),
            user_N=np.repeat(np.arange(self.count), [len(r.item_R) for r in rated]).astype(np.int32),
            item_N=np.concatenate([r.item_R for r in rated]).astype(np.int32),
            rating_N=np.concatenate([r.rating_R for r in rated]).astype(np.float32),
            time_N=np.concatenate([r.time_R for r in rated]),
            question_N=_questions(rated),
            shown_N=np.concatenate([r.shown_R for r in rated]),
            facts=facts | ({"choices": self.choices} if self.choices else {}),
        )
        return table if self.sessions is None else with_sessions(table, self.sessions)

    def rate_at_random(self, user: str, count: int, without: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What a user says of `count` pictures that somebody shows them at random after all that they rated: (R,) rows
        of the catalogue, none of them among `without`, and ratings from 1 to 5."""
        return self._people.rate_at_random(self._person(user), count, without)

    def answers(
        self, user: str, embeddings_ND: Tensor | np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """What a user says of any pictures, made ones too, after all that they rated: (N,) how much they like each at
        this moment, with the noise of a rating, and ratings from 1 to 5."""
        return self._people.asked(self._person(user), self._perceived(embeddings_ND), rng)

    def utility(self, user: str, embeddings_ND: Tensor | np.ndarray, step: int | None = None) -> np.ndarray:
        """(N,) true utility in [0, 1] of any raw embeddings after `step` ratings (by default, after all of theirs)."""
        person = self._person(user)
        return self._model.utility(self._people.taste(person), self._perceived(embeddings_ND), self._step(person, step))

    def scaled_utility(self, user: str, embeddings_ND: Tensor | np.ndarray, step: int | None = None) -> np.ndarray:
        """(N,) true utility where 0 is a random picture and 1 the best of the catalogue for this user."""
        return self._scaled(self._person(user), self.utility(user, embeddings_ND, step), step)

    def mode_of(self, user: str, embeddings_ND: Tensor | np.ndarray) -> np.ndarray:
        """(N,) the mode each embedding is nearest to."""
        return self._model.mode_of(self._people.taste(self._person(user)), self._perceived(embeddings_ND))

    def modes(self, user: str) -> list[str]:
        """Each mode in words: the school it is near."""
        described = schools()
        return [describe(described[s]) for s in self._people.taste(self._person(user)).school_K]

    def modes_covered(self, user: str, embeddings_ND: Tensor | np.ndarray, step: int | None = None) -> np.ndarray:
        """(K,) bool: which modes have a picture among these that is nearest to them and good by them alone."""
        person, seen = self._person(user), self._perceived(embeddings_ND)
        taste = self._people.taste(person)
        alone_NK = self._model.utility_of_modes(taste, seen, self._step(person, step))
        good_NK = self._scaled(person, alone_NK, step) >= COVERED
        nearest_NK = self._model.mode_of(taste, seen)[:, None] == np.arange(len(taste))
        return (good_NK & nearest_NK).any(0)

    def factor_probe(self) -> FactorProbe:
        """Reads a picture's factors off its embedding."""
        return FactorProbe(self._pictures.factors, self.embeddings().vectors)

    def taste_in_words(self, user: str) -> str:
        """A user's taste in one sentence."""
        return "likes " + "; or ".join(self.modes(user))

    @cached_property
    def _world(self) -> tuple[Perception, Population]:
        catalogue_ND = self.embeddings().vectors
        known = references(self._folder)
        perception = Perception.measure(catalogue_ND, known.schools_SD, known.fine_D, self.views)
        catalogue, schools_SF = perception.perceive(catalogue_ND), perception.place(known.schools_SD)
        people = Population(
            self.seed, self.count, TasteModel(), self._habits, schools_SF, catalogue, self.shown, self.choices
        )
        return perception, people

    @property
    def _people(self) -> Population:
        return self._world[1]

    @property
    def _model(self) -> TasteModel:
        return self._people.model

    @property
    def _folder(self) -> Path:
        return self.root / self.name / clip.MODEL_NAME

    def _perceived(self, embeddings_ND: Tensor | np.ndarray) -> Perceived:
        raw_ND = embeddings_ND.detach().cpu().numpy() if isinstance(embeddings_ND, Tensor) else embeddings_ND
        return self._world[0].perceive(raw_ND)

    def _person(self, user: str) -> int:
        digits = user.removeprefix("person-")
        if not (digits.isdecimal() and int(digits) < self.count and _name(int(digits)) == user):
            raise ValueError(f"the world has no user {user!r}; its users are {_name(0)} to {_name(self.count - 1)}")
        return int(digits)

    def _step(self, person: int, step: int | None) -> int:
        return self._people.ratings(person).answers if step is None else step

    def _scaled(self, person: int, utility: np.ndarray, step: int | None) -> np.ndarray:
        key = (person, self._step(person, step))
        if key not in self._scales:
            all_N = self._model.utility(self._people.taste(person), self._people.catalogue, key[1])
            best = max(round(BEST * len(all_N)), 1)
            self._scales[key] = float(all_N.mean()), float(np.sort(all_N)[-best:].mean())
        zero, one = self._scales[key]
        return (utility - zero) / (one - zero)


def truth_known(source: Any, space: Space) -> TypeGuard[WorldSource]:
    """Whether a source can say how good samples of a space are: it must be a world, and the space its own, for a
    world looks at refined embeddings as it looks at its own, and would say something."""
    return isinstance(source, WorldSource) and space.name == clip.MODEL_NAME


def _name(person: int) -> str:
    return f"person-{person:04d}"


def _questions(rated: list[Rated]) -> np.ndarray | None:
    """(N,) the numbers of questions, -1 for ratings; None if nobody chooses."""
    if all(one.question_R is None for one in rated):
        return None
    return np.concatenate([np.full(len(r.item_R), -1) if r.question_R is None else r.question_R for r in rated])
