"""From a person to the embeddings of their pictures: sampled, kept off near-copies, scored, chosen.

Shapes: M candidates, n pictures, N catalogue, K history, D dimension.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from prefprior.gallery.interpolation import between, directions, likeness_to, spread_of
from prefprior.gallery.users import Person
from prefprior.history import History
from prefprior.inference.selection import maximal_marginal_relevance
from prefprior.predictor import Catalogue
from prefprior.seeding import generator_of
from prefprior.space import Space

ROUNDS = 4  # how often new candidates are drawn where too many are near-copies
REFERENCE = 1000  # real pictures that scores are compared with


class Sampler(Protocol):
    """Independent draws, with steps and guidance already chosen."""

    def __call__(self, history: History, n: int, generator: torch.Generator, *, rating: float) -> Tensor:
        """(B, n, D) raw embeddings."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How the pictures of a person are sampled and chosen."""

    n: int = 8
    best_of: int = 4  # candidates for each picture, from which the prior's own rank chooses
    diversity: float = 1.0  # what being unlike the others counts beside the score (`prefprior.inference.selection`)
    copy_threshold: float = 0.95  # standardised cosine to a rated picture from which on it is a near-copy
    negative: bool = False  # also sample what the person would hate, for the decoder to move away from
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n < 1 or self.best_of < 1:
            raise ValueError(f"n and best_of must be at least 1, got {self.n} and {self.best_of}")
        if self.diversity < 0:
            raise ValueError(f"diversity cannot be below 0, got {self.diversity}")
        if not 0 < self.copy_threshold <= 1:
            raise ValueError(f"copy_threshold must lie in (0, 1], got {self.copy_threshold}")


@dataclass(frozen=True, eq=False)
class Drawn:
    """The embeddings chosen for one person, best first."""

    embeddings_nD: Tensor  # raw
    fit_n: Tensor  # the prior's score
    better_than_n: Tensor | None  # share of real pictures that the prior scores lower
    likeness_n: Tensor  # largest standardised cosine to a rated picture
    negative_nD: Tensor | None
    spread: float
    candidates: int
    near_copies: int  # candidates set aside


class Drawer:
    """Draws for one person after another; each person's numbers come from a generator of their own."""

    def __init__(
        self,
        *,
        space: Space,
        sample: Sampler,
        rank: Callable[[History, Catalogue], Tensor],
        recipe: Recipe,
        catalogue: Catalogue | None,
        bend: Callable[[Tensor, torch.Generator], Tensor] | None = None,
    ) -> None:
        """`bend` moves candidates towards a prompt."""
        self.space, self.sample, self.rank, self.recipe, self.bend = space, sample, rank, recipe, bend
        self._reference = None if catalogue is None else _some(catalogue, recipe.seed)

    def draw(self, person: Person) -> Drawn:
        """The pictures-to-be of one person."""
        recipe, seed, name = self.recipe, self.recipe.seed, person.name
        history_KD = person.history.embeddings_BKD[0][person.history.valid_BK[0]]
        kept, aside, drawn = [], [], 0
        for round_ in range(ROUNDS):
            generator = generator_of(seed, name, "embeddings", round_)
            fresh_MD = self.sample(person.history, recipe.n * recipe.best_of, generator, rating=1.0)[0].float().cpu()
            if self.bend is not None:
                fresh_MD = self.bend(fresh_MD, generator)
            drawn += len(fresh_MD)
            copy_M = likeness_to(self.space, fresh_MD, history_KD) >= recipe.copy_threshold
            kept.append(fresh_MD[~copy_M])
            aside.append(fresh_MD[copy_M])
            if sum(map(len, kept)) >= recipe.n:
                break
        near_copies = sum(map(len, aside))
        candidates_MD = torch.cat(kept)
        if len(candidates_MD) < recipe.n:  # nothing else could be had: the least alike, and their likeness is shown
            spare_MD = torch.cat(aside)
            order = likeness_to(self.space, spare_MD, history_KD).argsort()[: recipe.n - len(candidates_MD)]
            candidates_MD = torch.cat([candidates_MD, spare_MD[order]])
        fit_M = self._fit(person.history, candidates_MD)
        scaled_MD = self.space.to_model(candidates_MD)
        chosen = maximal_marginal_relevance(scaled_MD[None], fit_M[None], recipe.n, recipe.diversity)[0]
        negative_nD = None
        if recipe.negative:
            generator = generator_of(seed, name, "negative")
            negative_nD = self.sample(person.history, recipe.n, generator, rating=-1.0)[0].float().cpu()
        return Drawn(
            embeddings_nD=candidates_MD[chosen],
            fit_n=fit_M[chosen],
            better_than_n=self._better_than(person.history, fit_M[chosen]),
            likeness_n=likeness_to(self.space, candidates_MD[chosen], history_KD),
            negative_nD=negative_nD,
            spread=spread_of(directions(self.space, candidates_MD[chosen])),
            candidates=drawn,
            near_copies=near_copies,
        )

    def walk(self, one: Person, other: Person) -> tuple[Person, Drawn]:
        """A walk from the best picture of one person to the best of another, in n equal steps."""
        recipe = self.recipe
        first, last = (replace_n(self, 1).draw(person) for person in (one, other))
        share_n = torch.linspace(0, 1, recipe.n) if recipe.n > 1 else torch.tensor([0.5])
        path_nD = between(
            self.space, first.embeddings_nD.expand(recipe.n, -1), last.embeddings_nD.expand(recipe.n, -1), share_n
        )
        both = Person(
            name=f"{one.name} to {other.name}", part=one.part, history=one.history,
            items=[*one.items, *other.items], ratings=[*one.ratings, *other.ratings], pictures=one.pictures,
        )  # fmt: skip
        history_KD = torch.cat([p.history.embeddings_BKD[0][p.history.valid_BK[0]] for p in (one, other)])
        fit_n = (1 - share_n) * self._fit(one.history, path_nD) + share_n * self._fit(other.history, path_nD)
        return both, Drawn(
            embeddings_nD=path_nD,
            fit_n=fit_n,
            better_than_n=None,
            likeness_n=likeness_to(self.space, path_nD, history_KD),
            negative_nD=None,
            spread=spread_of(directions(self.space, path_nD)),
            candidates=first.candidates + last.candidates,
            near_copies=first.near_copies + last.near_copies,
        )

    def _fit(self, history: History, raw_MD: Tensor) -> Tensor:
        return self.rank(history, Catalogue(self.space, [str(i) for i in range(len(raw_MD))], raw_MD))[0].float().cpu()

    def _better_than(self, history: History, fit_n: Tensor) -> Tensor | None:
        if self._reference is None:
            return None
        real_N = self.rank(history, self._reference)[0].float().cpu()
        return (real_N[None] < fit_n[:, None]).float().mean(1)


def replace_n(drawer: Drawer, n: int) -> Drawer:
    """The same drawer for another number of pictures."""
    other = Drawer(
        space=drawer.space, sample=drawer.sample, rank=drawer.rank, recipe=replace(drawer.recipe, n=n),
        catalogue=None, bend=drawer.bend,
    )  # fmt: skip
    return other


def _some(catalogue: Catalogue, seed: int) -> Catalogue:
    rows = torch.randperm(len(catalogue), generator=generator_of(seed, "reference"))[:REFERENCE].sort().values
    return Catalogue(catalogue.space, [catalogue.ids[int(r)] for r in rows], catalogue.embeddings_ND[rows].float())


class Prompt:
    """Bends embeddings towards words: towards real pictures that the words describe, since a text's own embedding lies
    where no picture does.

    `weight` 0 leaves taste alone, 1 leaves words alone. Each candidate has one of the `width` pictures nearest to the
    words as its goal; the prior's rank then chooses among them, so that taste bends the prompt too.
    """

    def __init__(self, text_D: Tensor, catalogue: Catalogue, *, weight: float, width: int = 64) -> None:
        if not 0 <= weight <= 1:
            raise ValueError(f"prompt_weight must lie between 0 and 1, got {weight}")
        unit_D = torch.nn.functional.normalize(text_D.float(), dim=-1)
        cosine_N = torch.cat(
            [
                torch.nn.functional.normalize(catalogue.embeddings_ND[start : start + 65536].float(), dim=-1) @ unit_D
                for start in range(0, len(catalogue), 65536)
            ]
        )
        rows = cosine_N.topk(min(width, len(catalogue))).indices
        self.space, self.weight = catalogue.space, weight
        self.goals_WD = catalogue.embeddings_ND[rows].float()

    def __call__(self, raw_MD: Tensor, generator: torch.Generator) -> Tensor:
        """The candidates, moved."""
        goal = torch.randint(len(self.goals_WD), (len(raw_MD),), generator=generator)
        return between(self.space, raw_MD, self.goals_WD[goal], self.weight)
