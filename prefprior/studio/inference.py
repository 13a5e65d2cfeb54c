"""What the studio computes: the next question, from what is believed; pictures and rankings, by the network.

Shapes: N candidates or catalogue, n pictures, D dimension.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from prefprior.elicitation.asker import Asker
from prefprior.elicitation.belief import Belief
from prefprior.elicitation.cast import Cast, Pool
from prefprior.elicitation.exploration import Exploration
from prefprior.inference.certainty import DRAWS, Certainty, spread
from prefprior.predictor import Catalogue
from prefprior.seeding import generator_of
from prefprior.studio.beliefs import Beliefs, Look, Now
from prefprior.studio.store.impressions import Draw, Impression
from prefprior.studio.store.people import Profile


@dataclass(frozen=True)
class Making:
    """How many pictures are made at a time, and how different they are."""

    n: int = 6
    candidates: int = 4  # posterior samples for each
    diversity: float = 4.0

    def __post_init__(self) -> None:
        if not 1 <= self.n <= 32 or not 1 <= self.candidates <= 64 or not 0 <= self.diversity <= 1000:
            raise ValueError(
                "making: n must be 1 to 32, candidates 1 to 64 and diversity 0 to 1,000, got "
                f"{self.n}, {self.candidates} and {self.diversity}"
            )


@dataclass(frozen=True)
class Ranked:
    """A part of the catalogue, best first."""

    items: tuple[str, ...]
    utilities: tuple[float, ...]
    total: int


@dataclass(frozen=True, eq=False)
class Drawn:
    """What is to be decoded for a profile."""

    raw_nD: Tensor
    seed: int
    concentration: float
    sure: str | None  # in words; None where the model cannot tell


class ExhaustedError(ValueError):
    """Too few pictures are left that were not shown."""


class Inference:
    """Beliefs of one checkpoint, and the next question. Takes milliseconds; for one thread only."""

    def __init__(
        self,
        *,
        model: str,
        cast: Cast,
        pool: Pool,
        askers: Mapping[str, Asker],
        exploration: Exploration,
        most_beliefs: int = 256,
    ) -> None:
        """`model` is the checkpoint's hash; `askers` are by the kind of question that they ask."""
        self.model, self.cast, self.pool = model, cast, pool
        self.askers, self.exploration = dict(askers), exploration
        self.beliefs = Beliefs(cast, pool, most=most_beliefs)

    def believed(self, profile: Profile, answers: Sequence[Impression]) -> Now:
        """What is believed of a profile."""
        return self.beliefs.of(profile.id, answers)

    def ask(self, profile: Profile, answers: Sequence[Impression], kind: str, seed: int) -> tuple[Draw, bool]:
        """The next question, and whether the network should look again meanwhile."""
        asker, now = self.askers[kind], self.believed(profile, answers)
        open_N = torch.ones(len(self.pool.row_N), dtype=torch.bool)
        shown = [number for number in now.belief.shown if number < len(open_N)]
        open_N[shown] = False
        if int(open_N.sum()) < self.exploration.needs(asker.kind.shown):
            raise ExhaustedError("almost all pictures were shown: start over, or answer another kind of question")
        draws, direction_ND = generator_of("question", seed), self.pool.direction_ND
        extra = range(len(open_N), len(now.belief.candidates_ND))  # of another pool: known, and not asked about
        if extra:
            space = self.cast.catalogue.space
            direction_ND = torch.cat([direction_ND, space.directions(now.belief.candidates_ND[len(open_N) :])])
        question = asker.ask(now.belief, direction_ND, draws, closed=extra)
        assert question is not None
        question, propensities = self.exploration.mixed(question, open_N, draws)
        ids = self.cast.catalogue.ids
        items = tuple(ids[int(self.pool.row_N[number])] for number in question.items)
        policy = type(asker.policy).__name__.lower()
        return Draw(kind, items, propensities, policy, self.model, seed), now.look is not None


class Sampling:
    """Passes of the network, for one belief at a time. They take seconds; for one thread only."""

    def __init__(self, *, catalogue: Catalogue, certainty: Certainty | None, making: Making) -> None:
        self.catalogue, self.certainty, self.making = catalogue, certainty, making

    def look(self, look: Look) -> Belief:
        """A belief whose tastes are imagined anew."""
        return look.taken()

    def draw(self, belief: Belief, seed: int) -> Drawn:
        """Embeddings of the pictures to make, and how sure the model is of the taste."""
        draws, making = generator_of("made", seed), self.making
        raw_nD = belief.made(making.n, draws, candidates=making.candidates, diversity=making.diversity)
        bare_nD = belief.draws(DRAWS, draws, guided=False)
        concentration = float(spread(self.catalogue.space.directions(bare_nD)[None])[0])
        sure = None if self.certainty is None else self.certainty.in_words(concentration)
        return Drawn(raw_nD, seed, concentration, sure)

    def rank(self, belief: Belief, start: int, count: int) -> Ranked:
        """Items of the catalogue by expected utility."""
        utility_N = belief.expected(self.catalogue.embeddings_ND.float())
        order = utility_N.argsort(descending=True, stable=True)[start : start + count].tolist()
        ids = self.catalogue.ids
        return Ranked(tuple(ids[row] for row in order), tuple(float(utility_N[row]) for row in order), len(ids))
