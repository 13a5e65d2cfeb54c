"""From columns of text to a validated `RatingsTable`; every refusal names file, row and remedy.

Shapes: N ratings.
"""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from prefprior.data.sources.columns import Columns
from prefprior.errors import require_choice
from prefprior.ratings import RatingScale, RatingsTable

DUPLICATES = ("error", "first", "last", "mean")


def numbers(columns: Columns, name: str) -> np.ndarray:
    """A column as float64, NaN where it is absent; anything else that is not a finite number is refused."""
    texts = pc.utf8_trim_whitespace(columns.values[name])
    try:
        values = pc.cast(texts, pa.float64()).to_numpy(zero_copy_only=False)
        bad = ~np.isfinite(values) & ~_absent(texts)
    except pa.ArrowInvalid:
        values = pd.to_numeric(pd.Series(texts.to_pylist()), errors="coerce").to_numpy(dtype=np.float64)
        bad = ~np.isfinite(values) & ~_absent(texts)
    if bad.any():
        rows = np.flatnonzero(bad)
        raise ValueError(
            f"{columns.some(rows)}: the {name} {columns.values[name][int(rows[0])].as_py()!r} is not a finite number. "
            "Correct these rows or remove them."
        )
    return values


def ids(columns: Columns, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Codes and distinct ids, in order of appearance; empty ones and those with line breaks are refused."""
    texts = columns.values[name]
    if texts.null_count:
        rows = np.flatnonzero(_absent(texts))
        raise ValueError(f"{columns.some(rows)}: there is no {name}. Complete these rows or remove them.")
    encoded = texts.dictionary_encode()
    distinct = np.asarray(encoded.dictionary.to_pylist(), dtype=object)
    for code, value in enumerate(distinct):
        if not value.strip() or "\n" in value or "\r" in value or "\x00" in value:
            row = int(np.flatnonzero(encoded.indices.to_numpy() == code)[0])
            raise ValueError(
                f"{columns.where(row)}: {value!r} cannot be the id of any {name}. Ids are single, visible lines."
            )
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int32), distinct


def times(columns: Columns, name: str = "time") -> np.ndarray:
    """A column as seconds since 1970, NaN where absent: from seconds, milli- or microseconds, or ISO 8601."""
    texts = pc.utf8_trim_whitespace(columns.values[name])
    absent = _absent(texts)
    words = pd.Series(texts.to_pylist())
    values = pd.to_numeric(words, errors="coerce").to_numpy(dtype=np.float64, copy=True)
    known = np.abs(values[np.isfinite(values)])
    if len(known) + absent.sum() < len(words):  # rows of the kind that fewer have are named below
        stamps = pd.to_datetime(words, format="ISO8601", utc=True, errors="coerce")
        if stamps.notna().sum() > len(known):
            values = np.where(stamps.isna(), np.nan, stamps.astype("datetime64[us, UTC]").astype("int64") / 1e6)
            known = known[:0]
    # Seconds have ten digits from 2001 to 2286, milliseconds thirteen, microseconds sixteen.
    typical = float(np.median(known)) if len(known) else 0.0
    values /= 1e6 if typical > 1e14 else 1e3 if typical > 1e11 else 1.0
    bad = ~np.isfinite(values) & ~absent
    if bad.any():
        rows = np.flatnonzero(bad)
        raise ValueError(
            f"{columns.some(rows)}: {columns.values[name][int(rows[0])].as_py()!r} is not a time. All rows of a file "
            "have seconds, milliseconds or microseconds since 1970, or all have ISO 8601 (2024-05-01T12:00:00Z)."
        )
    return values


def ratings_table(
    source: str,
    scale: RatingScale,
    columns: Columns,
    *,
    rating_N: np.ndarray,
    time_N: np.ndarray | None = None,
    part_N: np.ndarray | None = None,
    pair_N: np.ndarray | None = None,
    duplicates: str = "error",
    counts: dict[str, int] | None = None,
) -> RatingsTable:
    """Checks the scale and repeated ratings, and sorts by user and time. `columns` has `user` and `item`.

    Paired comparisons (`pair_N`) may show a picture to a person again: their repeats are no mistakes.
    """
    off = (rating_N < scale.low) | (rating_N > scale.high) | ~np.isfinite(rating_N)
    if off.any():
        rows = np.flatnonzero(off)
        raise ValueError(
            f"{columns.some(rows)}: the rating {rating_N[rows[0]]:g} is off the scale {scale.low:g} to {scale.high:g}. "
            "Correct these rows, or state the scale with source.low=... source.high=..."
        )
    user_N, users = ids(columns, "user")
    item_N, items = ids(columns, "item")
    counts = dict(counts or {})
    keep = np.arange(len(user_N))
    if pair_N is None:
        keep, rating_N = _without_duplicates(columns, user_N, item_N, rating_N, duplicates, counts)
    time = time_N if time_N is None or not np.isnan(time_N).all() else None
    keys = (keep, user_N[keep]) if time is None else (keep, np.nan_to_num(time[keep], nan=-np.inf), user_N[keep])
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
        pair_N=None if pair_N is None else pair_N[rows],
        counts=counts,
    )


def scale_of(rating_N: np.ndarray, low: float | None, high: float | None, likes_from: float | None) -> RatingScale:
    """The scale a source states, or else the one its ratings span; likes begin above the middle."""
    bottom = float(rating_N.min()) if low is None else low
    top = float(rating_N.max()) if high is None else high
    if low is None and high is None and bottom == top:
        # One value throughout says that these are likes, whatever number was written for them.
        return RatingScale(min(bottom, 0.0), max(top, 0.0), bottom, liked_only=True)
    if bottom >= top:
        raise ValueError(f"the scale runs from source.low={bottom:g} to source.high={top:g}: low must be below high")
    above = rating_N[rating_N > (bottom + top) / 2]
    return RatingScale(bottom, top, likes_from if likes_from is not None else float(above.min(initial=top)))


def _without_duplicates(
    columns: Columns, user_N: np.ndarray, item_N: np.ndarray, rating_N: np.ndarray, how: str, counts: dict[str, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The rows to keep, and the ratings after repeated ones were settled."""
    require_choice("source.duplicates", how, DUPLICATES)
    key = user_N.astype(np.int64) * (int(item_N.max(initial=0)) + 1) + item_N
    order = np.argsort(key, kind="stable")
    new = np.concatenate([[True], key[order][1:] != key[order][:-1]])
    group = np.cumsum(new) - 1
    total = int(new.sum())
    if total == len(key):
        return np.arange(len(key)), rating_N
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
            f"{columns.some(rows)}: user {columns.values['user'][int(rows[0])].as_py()!r} rates the item "
            f"{columns.values['item'][int(rows[0])].as_py()!r} {len(rows)} times and differently ({int(differ.sum())} "
            "such cases). Correct the rows, or choose source.duplicates=first, last or mean."
        )
    agreeing = int(np.bincount(group)[~differ].sum() - (~differ).sum())
    counts["repeated rating, agreeing"] = agreeing
    counts[f"repeated rating, differing ({how} kept)"] = len(key) - total - agreeing
    if how == "mean":
        rating_N = rating_N.copy()
        rating_N[first] = np.bincount(group, weights=rating_N[order]) / np.bincount(group)
    return np.sort(last if how == "last" else first), rating_N


def _absent(texts: pa.Array) -> np.ndarray:
    return pc.is_null(texts).to_numpy(zero_copy_only=False)
