"""Sessions: what users of the world answered after they gave their own ratings, from a file.

A table with the columns user, item, time and, of a rating, rating (1 to 5) or, of a choice, question and picked: such
as `elicit` writes.

Shapes: N ratings of the world, S rows of sessions.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from prefprior.data.columns.columns import Columns, Wanted, absent
from prefprior.data.columns.read import read_columns
from prefprior.data.columns.values import ids, numbers, times
from prefprior.data.sources.questions import numbered, question_numbers
from prefprior.data.sources.validate import ratings_table
from prefprior.errors import nearest, sentence
from prefprior.ratings import RatingsTable

COLUMNS = {name: name for name in ("user", "item", "rating", "question", "picked", "time")}
REMEDY = "A session is of users and pictures of this world, and says so in columns of these names."


def with_sessions(table: RatingsTable, path: Path) -> RatingsTable:
    """A world's table with the answers of a file appended to the histories of its users, in the order of time.

    Ratings of pictures that the user has rated before, in a session too, are left out, and counted: the first one
    stands.
    """
    columns = read_columns(path, Wanted(COLUMNS, optional=("rating", "question", "picked"), remedy=REMEDY))
    for name, known in (("user", table.users), ("item", table.items)):
        _require_known(columns, name, known)
    question_S = question_numbers(columns, COLUMNS)
    rated_S = question_S < 0
    rating_S = numbers(columns, "rating") if "rating" in columns.values else np.full(len(columns), np.nan)
    if (missing := rated_S & np.isnan(rating_S)).any():
        raise ValueError(
            f"{columns.some(np.flatnonzero(missing))}: the row has neither a rating nor a question. Give it one."
        )
    if not rated_S.all():
        rating_S = np.where(rated_S, rating_S, table.scale.as_chosen(numbers(columns, "picked") == 1))
    if absent(columns.values["time"]).any():
        rows = np.flatnonzero(absent(columns.values["time"]))
        raise ValueError(f"{columns.some(rows)}: the time is missing. It says when the answer was given.")
    told = ratings_table(
        table.source, table.scale, columns, rating_N=rating_S, time_N=times(columns),
        question_N=None if rated_S.all() else question_S, duplicates="first",
    )  # fmt: skip
    assert table.time_N is not None
    assert told.time_N is not None
    user_S, item_S = _codes(told.users, table.users)[told.user_N], _codes(told.items, table.items)[told.item_N]
    again_S = told.rated_N & np.isin(
        user_S.astype(np.int64) * len(table.items) + item_S,
        table.user_N[table.rated_N].astype(np.int64) * len(table.items) + table.item_N[table.rated_N],
    )
    kept = np.flatnonzero(~again_S)
    user_N = np.concatenate([table.user_N, user_S[kept].astype(np.int32)])
    time_N = np.concatenate([table.time_N, told.time_N[kept]])
    own, asked = ((np.full(len(t), -1) if t.question_N is None else t.question_N) for t in (table, told))
    # Even numbers are questions of the world, odd ones those of sessions.
    question_N = np.concatenate([np.where(own < 0, -1, 2 * own), np.where(asked < 0, -1, 2 * asked + 1)[kept]])
    order = np.lexsort((np.arange(len(user_N)), question_N, time_N, user_N))
    shown_N = np.ones(len(table), dtype=bool) if table.shown_N is None else table.shown_N
    return replace(
        table,
        user_N=user_N[order],
        item_N=np.concatenate([table.item_N, item_S[kept].astype(np.int32)])[order],
        rating_N=np.concatenate([table.rating_N, told.rating_N[kept]])[order],
        time_N=time_N[order],
        question_N=numbered(user_N[order], question_N[order]) if (question_N >= 0).any() else None,
        shown_N=np.concatenate([shown_N, np.ones(len(kept), dtype=bool)])[order],
        counts={
            **table.counts,
            **told.counts,
            "rating in a session of a picture that was rated before": int(again_S.sum()),
        },
    )


def _require_known(columns: Columns, name: str, known: np.ndarray) -> None:
    code_S, named = ids(columns, name)
    strangers = np.flatnonzero(~np.isin(named.astype(str), known.astype(str)))
    if len(strangers):
        row, told = int(np.flatnonzero(code_S == strangers[0])[0]), str(named[strangers[0]])
        missing = sentence(f"the world has no {name} {told!r}{nearest(told, [str(each) for each in known])}")
        raise ValueError(
            f"{columns.where(row)}: {missing} It has {known[0]} to {known[-1]}: give the sessions of the same "
            "source.people and source.pictures."
        )


def _codes(named: np.ndarray, known: np.ndarray) -> np.ndarray:
    place = {str(name): code for code, name in enumerate(known)}
    return np.array([place[str(name)] for name in named], dtype=np.int64)
