"""Who is asked, about which pictures, and how they are judged: on a world by its truth, elsewhere by replayed ratings.

Shapes: P tastes, N items, K favourites, F items that are never asked, D dimension.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from prefprior.data.embedding.text_axes import TextAxes
from prefprior.data.hashing import fraction, id_hashes, mix
from prefprior.elicitation.answer_model import AnswerModel
from prefprior.elicitation.axes import pairs_along
from prefprior.elicitation.belief import Belief, Moves, favourites_of
from prefprior.elicitation.judging import Judge, Ranking, Truth
from prefprior.elicitation.people import Levels, Manner, Person, ReplayedPerson, WorldPerson
from prefprior.elicitation.policies.axes import Axes
from prefprior.elicitation.session import Asked
from prefprior.elicitation.tastes import Tastes
from prefprior.elicitation.uncertainty import Uncertainty
from prefprior.predictor import Catalogue
from prefprior.ratings import RatingsTable
from prefprior.seeding import seed_of
from prefprior.world.source import WorldSource

NEVER_ASKED = 0.5  # share of a replayed user's ratings


@dataclass(frozen=True, eq=False)
class Pool:
    """Items that questions can show, and what each taste of a stranger thinks of them."""

    row_N: Tensor  # of the catalogue, or -1: made
    raw_ND: Tensor
    direction_ND: Tensor
    utility_PN: Tensor
    favourite_PK: Tensor


@dataclass(frozen=True, eq=False)
class Cast:
    """What all users share: the tastes of a stranger, how answers are read, and the catalogue."""

    tastes: Tastes
    model: AnswerModel
    moves: Moves
    levels: Levels
    catalogue: Catalogue

    def pool(self, row_N: Tensor) -> Pool:
        """Of some rows of the catalogue; made once for all ways to ask."""
        return self._pool(row_N, self.catalogue.embeddings_ND[row_N].float())

    def pool_along(self, axes: TextAxes, policy: Axes, generator: torch.Generator) -> Pool:
        """Pairs that are made along axes from random pictures."""
        rows = torch.randperm(len(self.catalogue), generator=generator)[: policy.pictures]
        raw_BD = self.catalogue.embeddings_ND[rows].float()
        directions_PD = self.tastes.predictor.model.lengths.direction_PD
        raw_ND = pairs_along(axes, raw_BD, directions_PD, policy.step).flatten(0, 1)
        return self._pool(torch.full((len(raw_ND),), -1), raw_ND)

    def _pool(self, row_N: Tensor, raw_ND: Tensor) -> Pool:
        utility_PN = self.tastes.utilities(raw_ND)
        return Pool(row_N, raw_ND, self.catalogue.space.directions(raw_ND), utility_PN, favourites_of(utility_PN))

    def of_world(
        self, source: WorldSource, users: Sequence[str], pool: Pool, uncertain: Mapping[str, Uncertainty],
        manner: Manner, *, n: int, diversity: float, seed: int,
    ) -> list[Asked]:  # fmt: skip
        """Users of the world, who can all be asked about the whole pool."""
        people = []
        for user in users:
            person = WorldPerson(
                user=user, source=source, candidates_ND=pool.raw_ND, levels=self.levels, manner=manner,
                rng=np.random.default_rng(seed_of("answers", seed, user)),
            )  # fmt: skip
            top = 0 if (pool.row_N < 0).any() else 20
            judge = Truth(source, user, n, diversity, pool.raw_ND, uncertain.get(user), top)
            people.append(self._asked(person, judge, pool, torch.arange(len(pool.row_N))))
        return people

    def of_ratings(self, replays: Sequence["Replay"], pool: Pool, manner: Manner, *, seed: int) -> list[Asked]:
        """Users of a data set, each of whom can be asked about some of the pool."""
        people = []
        for replay in replays:
            column_N = torch.searchsorted(pool.row_N, torch.from_numpy(np.concatenate([replay.item, replay.others])))
            person = ReplayedPerson(
                user=replay.user, said=dict(enumerate(self.levels.numbers(replay.rating).tolist())),
                likes=replay.likes, levels=self.levels, manner=manner,
                rng=np.random.default_rng(seed_of("answers", seed, replay.user)),
            )  # fmt: skip
            raw_FD = self.catalogue.embeddings_ND[torch.from_numpy(replay.judged)].float()
            judge = Ranking(
                raw_FD, torch.from_numpy(replay.judged_rating), torch.from_numpy(replay.judged_liked), not replay.likes
            )
            people.append(self._asked(person, judge, pool, column_N))
        return people

    def _asked(self, person: Person, judge: Judge, pool: Pool, column_N: Tensor) -> Asked:
        def belief() -> Belief:
            """Sliced only now: of all users at once, utilities would take gigabytes."""
            return Belief(self.tastes, pool.raw_ND[column_N], pool.utility_PN[:, column_N], self.model, self.moves)

        return Asked(person, judge, belief, pool.direction_ND[column_N], pool.row_N[column_N])


@dataclass(frozen=True, eq=False)
class Replay:
    """The ratings of one user, divided into those that can be asked and those that judge. Items are rows of the
    catalogue."""

    user: str
    likes: bool  # whether all ratings are
    item: np.ndarray  # that can be asked
    rating: np.ndarray
    others: np.ndarray  # that nobody knows the user to like, beside which a like is shown
    judged: np.ndarray
    judged_rating: np.ndarray  # of the first of these: the others judge as what the user did not come to
    judged_liked: np.ndarray


def replays(
    table: RatingsTable, users: Sequence[str], items: int, *, most: int, others: int, seed: int
) -> list[Replay]:
    """Half of each user's ratings, by hash, are never asked and judge; of the other half at most `most` can be asked.
    Likes are asked among `others` of the catalogue's `items`, at random, and judged among as many others."""
    table, likes = table.as_ratings(), table.scale.liked_only
    drawn = np.random.default_rng(seed_of("others", seed)).permutation(items)[: 2 * others if likes else 0]
    found = []
    for user, rows in table.rows_of(users).items():
        _, once = np.unique(table.item_N[rows], return_index=True)
        rows = rows[np.sort(once)]
        hashes = mix(id_hashes(str(table.items[item]) for item in table.item_N[rows]), id_hashes([user], "asked")[0])
        never = fraction(hashes) < NEVER_ASKED
        asked = rows[~never][np.argsort(hashes[~never], kind="stable")][:most]
        kept, item_N = rows[never], table.item_N.astype(np.int64)
        beside, against = (np.setdiff1d(each, item_N[rows]) for each in (drawn[::2], drawn[1::2]))
        judged = np.concatenate([item_N[kept], against])
        liked = np.arange(len(judged)) < len(kept) if likes else table.liked_N[kept]
        found.append(
            Replay(
                user,
                likes,
                item_N[asked],
                table.rating_N[asked],
                beside,
                judged,
                table.rating_N[kept].astype(np.float32),
                liked,
            )
        )
    return found
