"""A studio's database as a source: what people answered, about the pictures of another source.

Shapes: N ratings, U users, I items.
"""

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from prefprior.data.columns.columns import Columns
from prefprior.data.embedding.table import EmbeddingTable
from prefprior.data.pictures import Pictures
from prefprior.data.sources.source import Source
from prefprior.data.sources.validate import ratings_table
from prefprior.nodes import Loadable
from prefprior.ratings import DRAWN, RatingScale, RatingsTable
from prefprior.studio.store.database import Database, password_settings
from prefprior.studio.store.training import PERSON, SCHEMA, answered


class AppSource(Loadable):
    """Everything that is answered in a studio's database now, and what the people of its catalogue's source rated.

    A profile is a user, and all profiles of a person belong to the same part. A model that goes on training on the
    answers alone forgets what the earlier ratings taught it, and its heads would be fitted to the answers alone: both
    are in the table, unless `rehearsal` is off (rehearsal: Robins 1995, doi:10.1080/09540099550039318).
    """

    PATHS = UNTOLD = ("database",)

    def __init__(self, *, database: str, catalogue: Source | None = None, rehearsal: bool = True) -> None:
        """`database` is the studio's URL; `catalogue` is the source of the checkpoint that was served: its pictures,
        embeddings and scale of ratings and, with `rehearsal`, its ratings."""
        if catalogue is None:
            raise ValueError(
                "source=app needs source.catalogue, the source of the pictures that the studio shows. experiment=app "
                "init_from=RUN takes that of the run that was served"
            )
        if isinstance(catalogue, AppSource):
            raise ValueError("source.catalogue is an app's answers too: give the source of their pictures")
        if _has_password(database):
            raise ValueError("source.database holds a password, which runs would write down: give it as PGPASSWORD")
        self.catalogue, self.url, self.rehearsal = catalogue, database, rehearsal
        self.name = catalogue.name  # under which its embeddings are found

    def pictures(self) -> Pictures | None:
        """Those of the catalogue."""
        return self.catalogue.pictures()

    def embeddings(self) -> EmbeddingTable | None:
        """Those of the catalogue."""
        return self.catalogue.embeddings()

    def ratings(self) -> RatingsTable:
        """What was answered until it is first asked for, after the ratings of the catalogue's source."""
        return self._ratings

    @cached_property
    def _ratings(self) -> RatingsTable:
        earlier = self.catalogue.ratings()
        told = self._told(earlier.scale)
        if earlier.part_N is not None:  # says nothing of people here
            told = replace(told, part_N=np.full(len(told), DRAWN))
        return _joined(earlier, told) if self.rehearsal else told

    def _told(self, scale: RatingScale) -> RatingsTable:
        """The answers, on the scale of the catalogue's source."""
        database = Database.open_as_it_is(self.url)
        told: dict[str, list[Any]] = {name: [] for name in (*SCHEMA.names, PERSON)}
        try:
            with database.reading() as session:
                for some in answered(session):
                    for name, values in some.items():
                        told[name] += values
        finally:
            database.close()
        if not told["user"]:
            raise ValueError(f"nobody has answered anything in {database.name} yet")
        in_time = np.argsort(np.asarray(told["time"], dtype=np.float64), kind="stable")  # until now as they were asked
        told = {name: [values[row] for row in in_time] for name, values in told.items()}
        question_N = np.asarray([-1 if each is None else int(each) for each in told["question"]], dtype=np.int64)
        picked_N = np.asarray([each == 1 for each in told["picked"]])
        rating_N = np.where(question_N < 0, np.asarray(told["rating"], dtype=np.float64), scale.as_chosen(picked_N))
        columns = Columns(
            Path(database.name), {name: pa.array(told[name], pa.string()) for name in ("user", "item")}, 0,
            place_N=[f"{database.name}: an answer of {user}" for user in told["user"]],
        )  # fmt: skip
        table = ratings_table(
            self.name, scale, columns, rating_N=rating_N, time_N=np.asarray(told["time"], dtype=np.float64),
            question_N=question_N, shown_N=np.ones(len(columns), dtype=bool),
            propensity_N=np.asarray(told["propensity"], dtype=np.float64), duplicates="last",
        )  # fmt: skip
        person_of = dict(zip(told["user"], told[PERSON], strict=True))
        return replace(table, person_U=np.asarray([person_of[user] for user in table.users], dtype=object))


def _joined(earlier: RatingsTable, told: RatingsTable) -> RatingsTable:
    """Both tables, of different users, as one. Earlier ratings whose propensity is unknown have the propensity 1, and
    where it is unknown which of them were shown, it is unknown of all."""
    if twice := sorted({*map(str, earlier.users)} & {*map(str, told.users)}):
        raise ValueError(
            f"{len(twice)} users of the database are in the ratings of source.catalogue too, such as {twice[0]}: these "
            "seem to be an export of it, and who is there twice could be trained on and tested at once. Choose a "
            "source.catalogue without answers of this studio, or add source.rehearsal=false"
        )
    row_of = {str(item): row for row, item in enumerate(earlier.items)}
    new = [str(item) for item in told.items if str(item) not in row_of]
    row_of |= {item: len(earlier.items) + place for place, item in enumerate(new)}
    item_I = np.asarray([row_of[str(item)] for item in told.items], dtype=np.int32)

    def both(name: str, absent: Any) -> np.ndarray | None:
        one, other = getattr(earlier, name), getattr(told, name)
        if one is None and other is None:
            return None
        one = np.full(len(earlier), absent, dtype=other.dtype) if one is None else one
        return np.concatenate([one, np.full(len(told), absent, dtype=one.dtype) if other is None else other])

    return RatingsTable(
        source=earlier.source,
        scale=earlier.scale,
        users=np.concatenate([earlier.users, told.users]),
        items=np.concatenate([earlier.items, np.asarray(new, dtype=earlier.items.dtype)]) if new else earlier.items,
        user_N=np.concatenate([earlier.user_N, told.user_N + len(earlier.users)]).astype(np.int32),
        item_N=np.concatenate([earlier.item_N, item_I[told.item_N]]),
        rating_N=np.concatenate([earlier.rating_N, told.rating_N]),
        time_N=both("time_N", np.nan),
        part_N=both("part_N", ""),
        question_N=both("question_N", -1),
        shown_N=None if earlier.shown_N is None else both("shown_N", False),
        propensity_N=both("propensity_N", 1.0),
        person_U=np.concatenate([earlier.people_U, told.people_U]),
        counts={name: earlier.counts.get(name, 0) + told.counts.get(name, 0) for name in earlier.counts | told.counts},
        facts=earlier.facts,
    )


def _has_password(url: str) -> bool:
    """Before the host, or among the settings of the connection (`?password=`)."""
    try:
        parsed = make_url(url)
    except ArgumentError:  # said when it is opened
        return False
    return parsed.password is not None or bool(password_settings(parsed))
