"""What the studio computes: the next question, from what is believed; pictures and rankings, by the network.

Shapes: N candidates or catalogue, n pictures, O others, D dimension.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prefprior.data.embedding.text_axes import TextEncoder
from prefprior.elicitation.asker import Asker, Inquiry
from prefprior.elicitation.belief import Belief
from prefprior.elicitation.cast import Cast, Pool
from prefprior.elicitation.exploration import Exploration
from prefprior.errors import require_between
from prefprior.inference.certainty import DRAWS, Certainty, spread
from prefprior.inference.steering import Steering
from prefprior.models.diffusion.guidance import Guidance
from prefprior.models.diffusion.sampler import Sampler
from prefprior.predictor import Catalogue
from prefprior.seeding import generator_of
from prefprior.studio.apart import Apart
from prefprior.studio.beliefs import Beliefs, Look, Now
from prefprior.studio.store.impressions import Draw, Impression
from prefprior.studio.store.people import Profile
from prefprior.studio.wishes import MOST_DIVERSITY, Wish, WishError, Wishes


@dataclass(frozen=True)
class Making:
    """How many pictures are made at a time, and how different they are."""

    n: int = 6
    gallery: int = 12  # pictures of a gallery
    candidates: int = 4  # posterior samples for each
    diversity: float = 4.0
    at_once: int = 4  # pictures decoded before another person's turn

    def __post_init__(self) -> None:
        require_between("making.n", self.n, 1, 32)
        require_between("making.gallery", self.gallery, 1, 100)
        require_between("making.candidates", self.candidates, 1, 64)
        require_between("making.diversity", self.diversity, 0, MOST_DIVERSITY)
        require_between("making.at_once", self.at_once, 1, 64)


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
    negative_nD: Tensor | None
    why: tuple[tuple[str, ...], ...]  # for each, the liked items that are most like it
    concentration: float
    sure: str | None  # in words; None where the model cannot tell


COMPARED = 512  # candidates by which two tastes are compared
NEAREST = 64  # candidates that are like what more is wanted of
WHY = 3  # liked items that are shown beside a picture


class ExhaustedError(ValueError):
    """Too few pictures are left that were not shown."""


@dataclass(frozen=True, eq=False)
class Ask:
    """A profile that waits for its next question of a page.

    With `near_D`, the policy chooses among the candidates most like that embedding. Nobody is shown what is `hidden`.
    """

    profile: Profile
    answers: Sequence[Impression]
    page: str
    seed: int
    near_D: Tensor | None = None
    hidden: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Asked:
    """What is asked, and whether the network should look again meanwhile."""

    draw: Draw
    thin: bool


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
        """`model` is the checkpoint's hash; `askers` are by page."""
        self.model, self.cast, self.pool = model, cast, pool
        self.askers, self.exploration = dict(askers), exploration
        self.beliefs = Beliefs(cast, pool, most=most_beliefs)
        self._row = {item: row for row, item in enumerate(cast.catalogue.ids)}
        self._number = {cast.catalogue.ids[row]: number for number, row in enumerate(pool.row_N.tolist())}

    def believed(self, profile: Profile, answers: Sequence[Impression]) -> Now:
        """What is believed of a profile."""
        return self.beliefs.of(profile.id, answers)

    def ask_all(self, waiting: Sequence[Ask]) -> list[Asked | Exception]:
        """The next question of each, or why there is none; those of one page are searched together."""
        found: dict[int, Asked | Exception] = {}
        for page in dict.fromkeys(each.page for each in waiting):
            asker, prepared = self.askers[page], dict[int, tuple[Inquiry, Now, Tensor]]()
            for place, each in enumerate(waiting):
                if each.page == page:
                    try:
                        prepared[place] = self._prepared(each, asker.kind.shown)
                    except ExhaustedError as error:
                        found[place] = error
            questions = asker.ask_all([inquiry for inquiry, _, _ in prepared.values()])
            for (place, (inquiry, now, open_N)), question in zip(prepared.items(), questions, strict=True):
                assert question is not None
                question, propensities = self.exploration.mixed(question, open_N, inquiry.generator)
                items = tuple(self.cast.catalogue.ids[int(self.pool.row_N[number])] for number in question.items)
                policy = type(asker.policy).__name__.lower()
                draw = Draw(page, str(asker.kind), items, propensities, policy, self.model, waiting[place].seed)
                found[place] = Asked(draw, now.look is not None)
        return [found[place] for place in range(len(waiting))]

    def _prepared(self, asked: Ask, shown: int) -> tuple[Inquiry, Now, Tensor]:
        """With the candidates that are open."""
        now, candidates = self.believed(asked.profile, asked.answers), len(self.pool.row_N)
        known = len(now.belief.candidates_ND)  # with those of another pool, which are not asked about
        open_N = torch.ones(known, dtype=torch.bool)
        open_N[candidates:] = False
        open_N[now.belief.shown] = False
        open_N[[self._number[item] for item in asked.hidden if item in self._number]] = False
        if int(open_N.sum()) < self.exploration.needs(shown):
            raise ExhaustedError("almost all pictures were shown: start over, or answer another kind of question")
        direction_ND = self.pool.direction_ND
        if known > candidates:
            extra_ND = self.cast.catalogue.space.directions(now.belief.candidates_ND[candidates:])
            direction_ND = torch.cat([direction_ND, extra_ND])
        near_N = open_N if asked.near_D is None else self._near(asked.near_D, open_N, direction_ND, shown)
        closed = (~near_N).nonzero()[:, 0]
        inquiry = Inquiry(now.belief, direction_ND, generator_of("question", asked.seed), closed)
        return inquiry, now, open_N[:candidates]

    @cached_property
    def reader(self) -> str:
        """A hash of what tastes are read by: the model, and the items that are compared."""
        items = [self.cast.catalogue.ids[row] for row in self.pool.row_N[:COMPARED].tolist()]
        return hashlib.sha256(repr((self.model, items)).encode()).hexdigest()

    def expected(self, profile: Profile, answers: Sequence[Impression]) -> tuple[str, bytes]:
        """The reader, and what is expected of a profile: utilities with mean 0 and norm 1, as float16."""
        belief, count = self.believed(profile, answers).belief, len(self.pool.row_N[:COMPARED])
        expected_N = belief.weight_P @ belief.utility_PN[:, :count]
        expected_N = expected_N - expected_N.mean()
        return self.reader, (expected_N / expected_N.norm().clamp_min(1e-12)).numpy().astype("<f2").tobytes()

    def agreement(self, mine: bytes, theirs: Sequence[bytes]) -> list[float]:
        """The correlation of what is expected of one profile and of each of some others."""
        theirs_ON = np.stack([np.frombuffer(each, dtype="<f2") for each in theirs]).astype(np.float32)
        return (theirs_ON @ np.frombuffer(mine, dtype="<f2").astype(np.float32)).tolist()

    def alike(self, one: Belief, other: Belief) -> float:
        """The correlation of what is expected of two profiles, over the pool."""
        return one.alike(other, len(self.pool.row_N))

    def embedding(self, item: str) -> Tensor | None:
        """The raw embedding of an item of the catalogue."""
        row = self._row.get(item)
        return None if row is None else self.cast.catalogue.embeddings_ND[row].float()

    def _near(self, near_D: Tensor, open_N: Tensor, direction_ND: Tensor, shown: int) -> Tensor:
        """Which of the open candidates are most like an embedding."""
        cosine_N = direction_ND @ self.cast.catalogue.space.directions(near_D)
        cosine_N[~open_N] = -torch.inf
        near_N = torch.zeros_like(open_N)
        near_N[cosine_N.topk(min(max(NEAREST, shown), int(open_N.sum()))).indices] = True
        return near_N


class Sampling:
    """Passes of the network, for one belief at a time. They take seconds; for one thread only."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        certainty: Certainty | None,
        making: Making,
        wishes: Wishes | None = None,
        encoder: TextEncoder | None = None,
        apart: Apart | None = None,
    ) -> None:
        """`encoder` reads axes and prompts, where the studio takes any. Looks are taken `apart`, or in this thread."""
        self._apart = apart
        self.catalogue, self.certainty, self.making = catalogue, certainty, making
        self.wishes, self._encoder = wishes or Wishes(), encoder
        self._row = {item: row for row, item in enumerate(catalogue.ids)}

    def look(self, look: Look) -> Belief:
        """A belief whose tastes are imagined anew."""
        return look.taken() if self._apart is None else self._apart.look(look.base, look.seed)

    def close(self) -> None:
        """Nothing is looked at any more."""
        if self._apart is not None:
            self._apart.close()

    def draw(
        self, belief: Belief, seed: int, liked: Sequence[str], n: int, wish: Wish, other: Belief | None = None
    ) -> Drawn:
        """Embeddings of the pictures to make, and how sure the model is of the taste. `liked` are what the person likes
        for all we know; with an `other` person's belief, the pictures are for both."""
        draws, predictor = generator_of("made", seed), belief.tastes.predictor
        self.wishes.require(wish)
        sampler = _stronger(predictor.sampler, wish.strength)
        how: dict[str, Any] = {"candidates": self.making.candidates, "diversity": wish.diversity, "sampler": sampler}
        if other is not None:
            raw_nD = belief.mixed(other, wish.share, n, draws, **how)
        else:
            steering = self._steering(wish, predictor.model.lengths.direction_PD)
            raw_nD = belief.made(n, draws, text_D=self._text(wish), steering=steering, **how)
        negative_nD = belief.draws(n, draws, rating=-1.0) if wish.negative else None
        bare_nD = belief.draws(DRAWS, draws, guided=False)
        concentration = float(spread(self.catalogue.space.directions(bare_nD)[None])[0])
        sure = None if self.certainty is None else self.certainty.in_words(concentration)
        return Drawn(raw_nD, negative_nD, self._why(raw_nD, liked), concentration, sure)

    def _text(self, wish: Wish) -> Tensor | None:
        if not wish.prompt:
            return None
        assert self._encoder is not None
        try:
            return self._encoder.encode_texts([wish.prompt])[0]
        except ValueError as error:
            raise WishError(f"the prompt cannot be read: {error}") from None

    def _steering(self, wish: Wish, directions_PD: Tensor) -> Steering | None:
        steps = {name: step for name, step in wish.axes.items() if step}
        if not steps:
            return None
        assert self._encoder is not None
        return Steering.named(steps, self._encoder, directions_PD)

    def _why(self, raw_nD: Tensor, liked: Sequence[str]) -> tuple[tuple[str, ...], ...]:
        rows = [self._row[item] for item in liked if item in self._row]
        if not rows:
            return ((),) * len(raw_nD)
        space = self.catalogue.space
        cosine_nK = space.directions(raw_nD) @ space.directions(self.catalogue.embeddings_ND[rows].float()).T
        near_nk = cosine_nK.topk(min(WHY, len(rows)), dim=1).indices.tolist()
        return tuple(tuple(self.catalogue.ids[rows[each]] for each in near) for near in near_nk)

    def rank(self, belief: Belief, start: int, count: int, hidden: frozenset[str] = frozenset()) -> Ranked:
        """Items of the catalogue by expected utility, without those that are hidden."""
        utility_N = belief.expected(self.catalogue.embeddings_ND.float())
        rows = [self._row[item] for item in hidden if item in self._row]
        utility_N[rows] = -torch.inf  # the last ones
        total, ids = len(utility_N) - len(rows), self.catalogue.ids
        order = utility_N.argsort(descending=True, stable=True)[start : min(start + count, total)].tolist()
        return Ranked(tuple(ids[row] for row in order), tuple(float(utility_N[row]) for row in order), total)


def _stronger(sampler: Sampler, strength: float) -> Sampler:
    """The sampler with another strength of taste: 0 is without guidance by the history, 1 as it is, 2 one more."""
    own = sampler.guidance
    history = 1 + strength * (own.history - 1) if strength <= 1 else own.history + strength - 1
    return sampler.changed(guidance=Guidance(history=history, rating=own.rating, text=own.text))
