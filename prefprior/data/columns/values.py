"""From columns of text to ids, numbers, times and parts; every refusal names file, row and remedy."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from prefprior.data.columns.columns import Columns, absent
from prefprior.data.columns.ids import alike, fault, shown

# What times are counted in, told from their size: seconds have ten digits from 2001 to 2286, milliseconds thirteen,
# microseconds sixteen, nanoseconds nineteen. Smaller numbers than the first count seconds from any beginning.
UNITS = (("seconds", 1.0), ("milliseconds", 1e3), ("microseconds", 1e6), ("nanoseconds", 1e9))
UNIT_BEGINS = (1e11, 1e14, 1e17)
# No rating is of other years. Numbers that would be are dates without dashes, or ticks of another clock; dates that are
# stand for unknown times.
EARLIEST, LATEST = (datetime(year, 1, 1, tzinfo=UTC).timestamp() for year in (1900, 2200))
# Counts of 100 nanoseconds since other years than 1970 look like nanoseconds of before 2001.
FIRST_NANOSECOND = 1e18
ONE_KIND = (
    "All times of a file must be seconds, milliseconds, microseconds or nanoseconds since 1970, "
    "or all must be ISO 8601 (2024-05-01T12:00:00Z). Leave unknown times empty."
)


def numbers(columns: Columns, name: str) -> np.ndarray:
    """A column as float64, NaN where it is absent; anything else that is not a finite number is refused."""
    texts = pc.utf8_trim_whitespace(columns.values[name])
    try:
        values = pc.cast(texts, pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        values = pd.to_numeric(pd.Series(texts.to_pylist()), errors="coerce").to_numpy(dtype=np.float64)
    bad = ~np.isfinite(values) & ~absent(texts)
    if bad.any():
        rows = np.flatnonzero(bad)
        raise ValueError(
            f"{columns.some(rows)}: the {name} {columns.text(name, int(rows[0]))} is not a finite number. "
            "Correct or remove these rows."
        )
    return values


def flags(columns: Columns, name: str) -> np.ndarray:
    """A column of 0 and 1 as bool; anything else and gaps are refused."""
    values = numbers(columns, name)
    _refuse(
        columns, name, ~np.isin(values, (0, 1)), "must be 0 or 1 in every row. Correct it, or leave the column out."
    )
    return values == 1


def probabilities(columns: Columns, name: str) -> np.ndarray:
    """A column of numbers above 0 and at most 1; anything else and gaps are refused."""
    values = numbers(columns, name)
    # Beyond float32 a small one would be 0, and its inverse infinite.
    off = ~((values >= np.finfo(np.float32).tiny) & (values <= 1))
    _refuse(columns, name, off, "must be above 0 and at most 1 in every row. Correct it, or leave the column out.")
    return values


def ids(columns: Columns, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Codes and distinct ids, in order of appearance; what cannot be an id is refused, and what looks like another."""
    texts = columns.values[name]
    if texts.null_count:
        rows = np.flatnonzero(absent(texts))
        raise ValueError(f"{columns.some(rows)}: the {name} is missing. Complete or remove these rows.")
    encoded = texts.dictionary_encode()
    code_N = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int32)
    distinct = encoded.dictionary.to_pylist()
    for code, value in enumerate(distinct):
        if reason := fault(value):
            row = int(np.flatnonzero(code_N == code)[0])
            raise ValueError(f"{columns.where(row)}: {shown(value)} is not a valid {name} id: {reason}. Correct it.")
    if pair := alike(distinct):
        rows = np.asarray([int(np.flatnonzero(code_N == code)[0]) for code in pair])
        raise ValueError(
            f"{columns.some(rows)}: the {name} ids {' and '.join(shown(distinct[code]) for code in pair)} "
            "differ only in surrounding spaces, invisible characters or "
            "the encoding of accents. Write both in the same way."
        )
    return code_N, np.asarray(distinct, dtype=object)


def times(columns: Columns, name: str = "time") -> np.ndarray:
    """A column as seconds since 1970, NaN where absent: from any of `UNITS`, or from ISO 8601."""
    texts = pc.utf8_trim_whitespace(columns.values[name])
    there = ~absent(texts)
    words = pd.Series(texts.to_pylist(), dtype=object)
    values = pd.to_numeric(words, errors="coerce").to_numpy(dtype=np.float64, copy=True)
    if np.isfinite(values).sum() < there.sum():  # rows of the kind that fewer have are named below
        stamps = pd.to_datetime(words, format="ISO8601", utc=True, errors="coerce")
        if stamps.notna().sum() > np.isfinite(values).sum():
            values = np.where(stamps.isna(), np.nan, stamps.astype("datetime64[us, UTC]").astype("int64") / 1e6)
            _refuse(columns, name, there & np.isnan(values), f"is not a time. {ONE_KIND}")
            off = there & ((values < EARLIEST) | (values > LATEST))
            _refuse(columns, name, off, f"is not a time between 1900 and 2200. {ONE_KIND}")
            return values
    _refuse(columns, name, there & ~np.isfinite(values), f"is not a time. {ONE_KIND}")
    return _seconds(columns, name, values)


def parts(columns: Columns, name: str = "split") -> np.ndarray:
    """A column that says which part a row belongs to: train, or what begins with val or test; "" where absent."""
    words = columns.values[name].dictionary_encode()
    told = [word.strip().lower() for word in words.dictionary.to_pylist()]
    wrong = [word not in ("", "train") and not word.startswith(("val", "test")) for word in told]
    code_N = words.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    _refuse(
        columns,
        name,
        np.asarray([*wrong, False])[code_N],
        f"is not a part: a {name} is train, val or test (or a longer name that begins with val or test). Rename it.",
    )
    return np.asarray([*told, ""], dtype=str)[code_N]


def _seconds(columns: Columns, name: str, values: np.ndarray) -> np.ndarray:
    there = np.isfinite(values)
    if not there.any():
        return values
    unit_N = np.digitize(np.abs(values), UNIT_BEGINS)
    usual = int(np.bincount(unit_N[there]).argmax())
    others = there & (unit_N != usual)
    if others.any():
        other = UNITS[unit_N[np.flatnonzero(others)[0]]][0]
        _refuse(
            columns, name, others, f"is in {other}, but most times of this file are in {UNITS[usual][0]}. {ONE_KIND}"
        )
    known = values[there]
    if usual == 0 and (_looks_like_date(known)).all():
        _refuse(columns, name, there, f"looks like a date, not like seconds since 1970. Write {_dashed(known[0])}.")
    seconds = values / UNITS[usual][1]
    foreign = there & ((seconds > LATEST) | ((seconds < EARLIEST) & (usual > 0)))
    if usual == 3:
        foreign |= there & (np.abs(values) < FIRST_NANOSECOND)
    _refuse(columns, name, foreign, f"is not a time in {UNITS[usual][0]} since 1970. {ONE_KIND}")
    return seconds


def _looks_like_date(values: np.ndarray) -> np.ndarray:
    """Which numbers are dates without dashes, such as 20240501: as seconds they would all be of August 1970."""
    year, month, day = values // 10000, values // 100 % 100, values % 100
    return (year >= 1900) & (year < 2200) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31) & (day % 1 == 0)


def _dashed(value: float) -> str:
    text = f"{value:.0f}"
    return f"{text[:4]}-{text[4:6]}-{text[6:]}"


def _refuse(columns: Columns, name: str, bad: np.ndarray, why: str) -> None:
    if bad.any():
        rows = np.flatnonzero(bad)
        raise ValueError(f"{columns.some(rows)}: the {name} {columns.text(name, int(rows[0]))} {why}")
