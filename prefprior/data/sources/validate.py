"""From columns to a validated `RatingsTable`; every refusal names file, row and remedy.

Shapes: N ratings.
"""

import numpy as np

from prefprior.data.columns.columns import Columns
from prefprior.data.columns.values import ids
from prefprior.data.sources.questions import Questions, numbered
from prefprior.errors import require_choice
from prefprior.ratings import RatingScale, RatingsTable

DUPLICATES = ("error", "first", "last", "mean")
# Ratings are kept with 32 bits: numbers above the first are infinite there, and differences below the second's share of
# the largest are gone.
LARGEST_RATING, LEAST_SPAN = 1e30, 1e-5
SPACES = "space around a user id"  # taken off, and counted


def ratings_table(
    source: str,
    scale: RatingScale,
    columns: Columns,
    *,
    rating_N: np.ndarray,
    time_N: np.ndarray | None = None,
    part_N: np.ndarray | None = None,
    question_N: np.ndarray | None = None,
    shown_N: np.ndarray | None = None,
    propensity_N: np.ndarray | None = None,
    duplicates: str = "error",
    counts: dict[str, int] | None = None,
) -> RatingsTable:
    """Checks the scale, questions and repeated ratings, and sorts by user and time. `columns` has `user` and `item`.

    Rows with the same number of at least 0 in `question_N` and the same user are one question; its "ratings" are the
    top and the bottom of the scale. Questions may show a picture to a user again: these repeats are not errors.
    """
    require_32_bits(columns, rating_N, scale.low, scale.high)
    off = (rating_N < scale.low) | (rating_N > scale.high) | ~np.isfinite(rating_N)
    if off.any():
        rows = np.flatnonzero(off)
        raise ValueError(
            f"{columns.some(rows)}: the rating {rating_N[rows[0]]:g} is outside the scale {scale.low:g} "
            f"to {scale.high:g}. Correct or remove these rows, or set the scale with source.low=... "
            "source.high=..."
        )
    columns, spaces = columns.stripped("user")
    user_N, users = ids(columns, "user")
    item_N, items = ids(columns, "item")
    counts = dict(counts or {})
    if spaces:
        counts[SPACES] = spaces
    rated_N = np.ones(len(user_N), dtype=bool) if question_N is None else question_N < 0
    keep, rating_N = _without_duplicates(columns, np.flatnonzero(rated_N), user_N, item_N, rating_N, duplicates, counts)
    time = time_N if time_N is None or not np.isnan(time_N).all() else None
    place_N = np.arange(len(user_N))
    if not rated_N.all():
        assert question_N is not None
        asked = Questions.of(columns, user_N, item_N, question_N)
        keep = np.sort(np.concatenate([keep, np.flatnonzero(~rated_N)]))
        place_N, time = asked.place(), None if time is None else asked.answered(time)
        asked.require_one_part(columns, part_N)
    else:
        question_N = None
    order = (place_N[keep], user_N[keep])
    keys = order if time is None else (place_N[keep], np.nan_to_num(time[keep], nan=-np.inf), user_N[keep])
    rows = keep[np.lexsort(keys)]
    return RatingsTable(
        source=source,
        scale=scale,
        users=users,
        items=items,
        user_N=user_N[rows],
        item_N=item_N[rows],
        rating_N=rating_N[rows].astype(np.float32),
        time_N=None if time is None else time[rows],
        part_N=None if part_N is None else part_N[rows],
        question_N=None if question_N is None else numbered(user_N[rows], question_N[rows]),
        shown_N=None if shown_N is None else shown_N[rows],
        propensity_N=None if propensity_N is None else propensity_N[rows].astype(np.float32),
        counts=counts,
    )


def scale_of(
    columns: Columns, rating_N: np.ndarray, low: float | None, high: float | None, likes_from: float | None
) -> RatingScale:
    """The scale a source states, or else the one its ratings span; likes begin above the middle."""
    bottom = float(rating_N.min()) if low is None else low
    top = float(rating_N.max()) if high is None else high
    if low is None and high is None and bottom == top:
        # One value throughout says that these are likes, whatever number was written for them.
        return RatingScale(min(bottom, 0.0), max(top, 0.0), bottom, liked_only=True)
    if not bottom < top:
        raise ValueError(
            f"{columns.path}: the scale would be {bottom:g} to {top:g} (the ratings are "
            f"{rating_N.min():g} to {rating_N.max():g}). Set source.low below source.high, or leave both "
            "out."
        )
    if likes_from is not None and not bottom <= likes_from <= top:
        raise ValueError(
            f"{columns.path}: source.likes_from={likes_from:g} is outside the scale {bottom:g} to "
            f"{top:g}. Choose a value on the scale, or leave it out."
        )
    above = rating_N[rating_N > (bottom + top) / 2]
    return RatingScale(bottom, top, likes_from if likes_from is not None else float(above.min(initial=top)))


def require_32_bits(columns: Columns, rating_N: np.ndarray, low: float, high: float) -> None:
    """Refuses ratings on a scale from `low` to `high` that would become infinite or alike with 32 bits."""
    large = np.abs(rating_N) > LARGEST_RATING
    if large.any():
        rows = np.flatnonzero(large)
        raise ValueError(
            f"{columns.some(rows)}: the rating {rating_N[rows[0]]:g} is too large. Correct or remove these rows."
        )
    span, largest = high - low, max(abs(low), abs(high))
    if 0 < span < max(LEAST_SPAN * largest, 1 / LARGEST_RATING):
        raise ValueError(
            f"{columns.path}: ratings from {low!r} to {high!r} cannot be distinguished in float32. "
            "Subtract a constant or rescale them, for example to 0 to 1 or 1 to 5."
        )


def _without_duplicates(
    columns: Columns, row_R: np.ndarray, user_N: np.ndarray, item_N: np.ndarray, rating_N: np.ndarray, how: str,
    counts: dict[str, int],
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Which of the rows R to keep, and the ratings after repeated ones were settled."""
    require_choice("source.duplicates", how, DUPLICATES)
    key = (user_N.astype(np.int64) * (int(item_N.max(initial=0)) + 1) + item_N)[row_R]
    order = np.argsort(key, kind="stable")
    new = np.concatenate([[True], key[order][1:] != key[order][:-1]])[: len(key)]
    group = np.cumsum(new) - 1
    total = int(new.sum())
    if total == len(key):
        return row_R, rating_N
    order = row_R[order]
    first = order[new]
    last = order[np.concatenate([new[1:], [True]])]
    low, high = np.full(total, np.inf), np.full(total, -np.inf)
    np.minimum.at(low, group, rating_N[order])
    np.maximum.at(high, group, rating_N[order])
    differ = low < high
    if differ.any() and how == "error":
        g = int(np.flatnonzero(differ)[np.argmin(first[differ])])
        rows = np.sort(order[group == g])
        raise ValueError(
            f"{columns.some(rows)}: user {columns.text('user', int(rows[0]))} rates the item "
            f"{columns.text('item', int(rows[0]))} {len(rows)} times with different values "
            f"({int(differ.sum())} such cases). Correct the rows, or choose source.duplicates=first, last "
            "or mean."
        )
    agreeing = int(np.bincount(group)[~differ].sum() - (~differ).sum())
    counts["repeated rating, same value"] = agreeing
    counts[f"repeated rating, different values ({how} kept)"] = len(key) - total - agreeing
    if how == "mean":
        rating_N = rating_N.copy()
        rating_N[first] = np.bincount(group, weights=rating_N[order]) / np.bincount(group)
    return np.sort(last if how == "last" else first), rating_N
