"""Who is asked, about which pictures, and how they are judged: on a world by its truth, elsewhere by replayed ratings.

Shapes: P tastes, N candidates of one user, I items of all users, F items that are never asked, D dimension.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from sklearn.cluster import MiniBatchKMeans
from torch import Tensor

from prefprior.data.hashing import fraction, id_hashes, mix
from prefprior.elicitation.answer_model import AnswerModel
from prefprior.elicitation.belief import Belief, Moves
from prefprior.elicitation.judging import Cells, Judge, Ranking, Truth, Uncertainty
from prefprior.elicitation.people import Levels, Manner, Person, ReplayedPerson, WorldPerson
from prefprior.elicitation.session import Asked
from prefprior.elicitation.tastes import Tastes
from prefprior.predictor import Catalogue
from prefprior.ratings import RatingsTable
from prefprior.seeding import seed_of
from prefprior.world.source import WorldSource

NEVER_ASKED = 0.5  # share of a replayed user's ratings
CELLS = 64


@dataclass(frozen=True, eq=False)
class Cast:
    """What all users share: the tastes of a stranger, how answers are read, and the catalogue."""

    tastes: Tastes
    model: AnswerModel
    moves: Moves
    levels: Levels
    catalogue: Catalogue

    def of_world(
        self,
        source: WorldSource,
        table: RatingsTable,
        users: Sequence[str],
        rows_N: Tensor,
        manner: Manner,
        *,
        n: int,
        diversity: float,
        seed: int,
        cut: int,
    ) -> list[Asked]:
        """Users of the world, who can be asked about the same candidates; the likes in `table` say whether the
        uncertainty is right. `seed` is that of answers, `cut` that of cells."""
        candidates_ND = self.catalogue.embeddings_ND[rows_N].float()
        direction_ND, utility_PN = self.catalogue.space.directions(candidates_ND), self.tastes.utilities(candidates_ND)
        cells, liked_of = self._cells(cut), _likes_of(table)
        people = []
        for user in users:
            liked = liked_of[user]
            possible = None
            if len(liked):
                directions = self.catalogue.space.directions(self.catalogue.embeddings_ND[liked].float())
                possible = Uncertainty(cells, cells.of(directions))
            person = WorldPerson(
                user=user, source=source, candidates_ND=candidates_ND, levels=self.levels, manner=manner,
                rng=np.random.default_rng(seed_of("answers", seed, user)),
            )  # fmt: skip
            judge = Truth(source, user, n, diversity, candidates_ND, possible)
            people.append(self._asked(person, judge, rows_N, candidates_ND, direction_ND, utility_PN))
        return people

    def of_ratings(
        self,
        table: RatingsTable,
        users: Sequence[str],
        manner: Manner,
        *,
        most: int,
        others: int,
        seed: int,
        fillers: int,
    ) -> list[Asked]:
        """Users of a data set. Half of their ratings, by hash, are never asked and judge; of the other half at most
        `most` can be asked. Likes are asked among `others` random items, and judged among as many others. `seed` is
        that of answers, `fillers` that of those items."""
        graded, table = not table.scale.liked_only, table.as_ratings()
        parts = [_parts(table, user, most) for user in users]
        rng = np.random.default_rng(seed_of("others", fillers))
        random_N = np.empty(0, dtype=np.int64) if graded else rng.permutation(len(self.catalogue))[: 2 * others]
        filler_F, against_F = random_N[::2], random_N[1::2]
        item_I = np.unique(np.concatenate([filler_F, *(item for (item, _), _ in parts)]).astype(np.int64))
        raw_ID = self.catalogue.embeddings_ND[torch.from_numpy(item_I)].float()
        utility_PI = self.tastes.utilities(raw_ID)
        people = []
        for user, ((item, rating), (never, never_rating)) in zip(users, parts, strict=True):
            rated = table.item_N[table.users[table.user_N] == user]
            own, against = np.setdiff1d(filler_F, rated), np.setdiff1d(against_F, rated)
            column = torch.from_numpy(np.searchsorted(item_I, np.concatenate([item, own])))
            said = dict(enumerate(self.levels.numbers(rating).tolist()))
            person = ReplayedPerson(
                user=user, said=said, likes=not graded, levels=self.levels, manner=manner,
                rng=np.random.default_rng(seed_of("answers", seed, user)),
            )  # fmt: skip
            judge = self._ranking(table, never, never_rating, against)
            raw_ND = raw_ID[column]
            directions = self.catalogue.space.directions(raw_ND)
            rows_N = torch.from_numpy(item_I)[column]
            people.append(self._asked(person, judge, rows_N, raw_ND, directions, utility_PI[:, column]))
        return people

    def _ranking(self, table: RatingsTable, never: np.ndarray, rating: np.ndarray, others: np.ndarray) -> Ranking:
        graded = not table.scale.liked_only
        judged = never if graded else np.concatenate([never, others])
        liked = rating >= table.scale.likes_from if graded else np.arange(len(judged)) < len(never)
        raw_FD = self.catalogue.embeddings_ND[torch.from_numpy(judged.astype(np.int64))].float()
        return Ranking(raw_FD, torch.from_numpy(rating.astype(np.float32)), torch.from_numpy(liked), graded)

    def _asked(
        self, person: Person, judge: Judge, row_N: Tensor, raw_ND: Tensor, direction_ND: Tensor, utility_PN: Tensor
    ) -> Asked:
        belief = partial(Belief, self.tastes, raw_ND, utility_PN, self.model, self.moves)
        return Asked(person, judge, belief, direction_ND, row_N)

    def _cells(self, seed: int) -> Cells:
        count = min(CELLS, len(self.catalogue))
        rows = np.random.default_rng(seed).permutation(len(self.catalogue))[:20_000]
        directions = self.catalogue.space.directions(self.catalogue.embeddings_ND[torch.from_numpy(rows)].float())
        found = MiniBatchKMeans(count, random_state=seed, n_init=3).fit(directions.numpy())
        centres = torch.from_numpy(found.cluster_centers_).float()
        return Cells(torch.nn.functional.normalize(centres, dim=1))


def _likes_of(table: RatingsTable) -> dict[str, Tensor]:
    table = table.as_ratings()
    liked_N = np.ones(len(table), dtype=bool) if table.scale.liked_only else table.liked_N
    return {
        str(table.users[code]): torch.from_numpy(table.item_N[(table.user_N == code) & liked_N].astype(np.int64))
        for code in np.unique(table.user_N)
    }


def _parts(
    table: RatingsTable, user: str, most: int
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Items and ratings that can be asked, and those that never are."""
    rows = np.flatnonzero(table.users[table.user_N] == user)
    _, once = np.unique(table.item_N[rows], return_index=True)
    rows = rows[np.sort(once)]
    hashes = mix(id_hashes(str(table.items[item]) for item in table.item_N[rows]), id_hashes([user], salt="asked")[0])
    never = fraction(hashes) < NEVER_ASKED
    order = np.argsort(hashes[~never], kind="stable")
    asked, kept = rows[~never][order][:most], rows[never]
    return (table.item_N[asked], table.rating_N[asked]), (table.item_N[kept], table.rating_N[kept])
