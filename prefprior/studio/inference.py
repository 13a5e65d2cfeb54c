"""What the studio computes: questions, pictures and rankings for a profile. For the inference worker's thread only.

Shapes: N candidates or catalogue, n pictures, D dimension.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO

import torch
from PIL.Image import Image

from prefprior.decoders.decoder import Decoder
from prefprior.decoders.safety import Safety, blurred_card
from prefprior.elicitation.asker import Asker
from prefprior.elicitation.cast import Cast, Pool
from prefprior.elicitation.exploration import Exploration
from prefprior.inference.certainty import DRAWS, Certainty, spread
from prefprior.seeding import generator_of
from prefprior.studio.beliefs import Beliefs, Known, state_of
from prefprior.studio.store.impressions import Draw, Impression
from prefprior.studio.store.people import Profile
from prefprior.studio.store.strips import Strip


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


class ExhaustedError(ValueError):
    """Too few pictures are left that were not shown."""


class Inference:
    """One checkpoint, its decoder, and what is believed of the profiles that it was asked about."""

    def __init__(
        self,
        *,
        model: str,
        cast: Cast,
        pool: Pool,
        askers: Mapping[str, Asker],
        exploration: Exploration,
        decoder: Decoder,
        safety: Safety,
        making: Making,
        most_beliefs: int = 256,
    ) -> None:
        """`model` is the checkpoint's hash; `askers` are by the kind of question that they ask."""
        self.model, self.cast, self.pool = model, cast, pool
        self.askers, self.exploration, self.making = dict(askers), exploration, making
        self.decoder, self.safety = decoder, safety
        self.beliefs = Beliefs(cast, pool, most=most_beliefs)
        self._certainty = Certainty.told(cast.tastes.predictor.facts)

    def ask(self, profile: Profile, answers: Sequence[Impression], kind: str, seed: int) -> Draw:
        """The next question."""
        asker, known = self.askers[kind], self.beliefs.of(profile.id, answers)
        open_N = torch.ones(len(self.pool.row_N), dtype=torch.bool)
        shown = [number for number in known.belief.shown if number < len(open_N)]
        open_N[shown] = False
        if int(open_N.sum()) < self.exploration.needs(asker.kind.shown):
            raise ExhaustedError("almost all pictures were shown: start over, or answer another kind of question")
        draws, direction_ND = generator_of("question", seed), self.pool.direction_ND
        extra = range(len(open_N), len(known.belief.candidates_ND))  # of another pool: known, and not asked about
        if extra:
            space = self.cast.catalogue.space
            direction_ND = torch.cat([direction_ND, space.directions(known.belief.candidates_ND[len(open_N) :])])
        question = asker.ask(known.belief, direction_ND, draws, closed=extra)
        assert question is not None
        question, propensities = self.exploration.mixed(question, open_N, draws)
        ids = self.cast.catalogue.ids
        items = tuple(ids[int(self.pool.row_N[number])] for number in question.items)
        return Draw(kind, items, propensities, type(asker.policy).__name__.lower(), self.model, seed)

    def state(self, answers: Sequence[Impression]) -> str:
        """What a strip of these answers is known by."""
        return state_of(self.model, answers)

    def make(self, profile: Profile, answers: Sequence[Impression], seed: int) -> Strip:
        """Pictures for a profile, and how sure the model is of its taste."""
        known = self.beliefs.of(profile.id, answers)
        draws, making = generator_of("made", seed), self.making
        raw_nD = known.belief.made(making.n, draws, candidates=making.candidates, diversity=making.diversity)
        concentration = self._concentration(known, draws)
        pictures = self.decoder.decode(
            raw_nD, negative_BD=None, prompt=None,
            generators=[generator_of("picture", seed, place) for place in range(making.n)],
        )  # fmt: skip
        flagged = self.safety.flagged(pictures)
        shown = [blurred_card(each) if bad else each for each, bad in zip(pictures, flagged, strict=True)]
        return Strip(
            state=self.state(answers), answers=len(answers), model=self.model, decoder=self.decoder.identity,
            seed=seed, concentration=concentration,
            sure=None if self._certainty is None else self._certainty.in_words(concentration),
            pictures=tuple(png(each) for each in shown),
        )  # fmt: skip

    def rank(self, profile: Profile, answers: Sequence[Impression], start: int, count: int) -> Ranked:
        """Items of the catalogue by expected utility."""
        catalogue, known = self.cast.catalogue, self.beliefs.of(profile.id, answers)
        utility_N = known.belief.expected(catalogue.embeddings_ND.float())
        order = utility_N.argsort(descending=True, stable=True)[start : start + count].tolist()
        return Ranked(
            tuple(catalogue.ids[row] for row in order), tuple(float(utility_N[row]) for row in order), len(catalogue)
        )

    def _concentration(self, known: Known, draws: torch.Generator) -> float:
        raw_nD = known.belief.draws(DRAWS, draws, guided=False)
        return float(spread(self.cast.catalogue.space.directions(raw_nD)[None])[0])


def png(picture: Image) -> bytes:
    """A picture as it is sent and kept."""
    out = BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()
