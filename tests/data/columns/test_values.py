"""Ids, numbers, times and parts out of text."""

from pathlib import Path

import pyarrow as pa
import pytest

from prefprior.data.columns.columns import Columns
from prefprior.data.columns.values import ids, parts, times


def column(name: str, *texts: str | None) -> Columns:
    return Columns(Path("r.csv"), {name: pa.array(texts, pa.string())}, 2)


@pytest.mark.parametrize(
    "texts",
    [
        ["1714564800", "-1"],
        ["1714564800000", "-150000000000"],
        ["1714564800000000", "1714564800000000"],
        ["1714564800000000000", "1714564800000000001"],
        ["2024-05-01T12:00:00Z", "1965-03-31 21:20:00"],
    ],
)
def test_the_unit_of_times_is_inferred_from_their_magnitude(texts: list[str]) -> None:
    assert times(column("time", *texts))[0] == 1714564800.0


def test_small_integers_are_times() -> None:
    assert times(column("time", "0", "12", None, "20240", "5")).tolist()[:2] == [0, 12]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (
            ["1714564800", "1714564801000", "1714564802"],
            r"r.csv:3: .* '1714564801000' is in milliseconds, but",
        ),
        (["1714564800000", "1714564801", "1714564802000"], r"r.csv:3: the time '1714564801' is in seconds, but most"),
        (["1714564800000", "0", "1714564802000"], r"r.csv:3: .* is in seconds, .*Leave unknown times empty"),
        (["1714564800000000000", "1714564800000000", "1714564800000000000"], r"r.csv:3: .* is in microseconds"),
        (["20240501", "20240502"], r"r.csv:2, r.csv:3: the time '20240501' looks like a date.* Write 2024-05-01"),
        (["20240501120000"], r"r.csv:2: the time '20240501120000' is not a time in milliseconds"),
        (["638501472000000000"], r"r.csv:2: .* is not a time in nanoseconds"),
        (["inf"], r"r.csv:2: the time 'inf' is not a time"),
    ],
)
def test_mixed_time_units_are_refused(texts: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        times(column("time", *texts))


def test_split_names_ignore_case_and_whitespace() -> None:
    told = parts(column("split", "Test", " test ", "TRAIN", None, "Val_seen", "validation", ""))
    assert told.tolist() == ["test", "test", "train", "", "val_seen", "validation", ""]
    for other in ("dev", "training", "holdout"):
        with pytest.raises(ValueError, match=rf"r.csv:3: the split '{other}' is not a part: a split is train"):
            parts(column("split", "train", other))


@pytest.mark.parametrize("other", ["u0 ", "u0\u00a0", "\ufeffu0", "u\u200b0", " u0"])
def test_ids_that_look_alike_are_refused(other: str) -> None:
    with pytest.raises(ValueError, match=r"r.csv:2, r.csv:4: the item ids 'u0' and .* differ only"):
        ids(column("item", "u0", "u1", other), "item")


def test_ids_with_differently_encoded_accents_are_refused() -> None:
    with pytest.raises(ValueError, match="the encoding of accents"):
        ids(column("item", "caf\u00e9", "cafe\u0301"), "item")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("\u3000", "blank"),
        ("a\x00b", r"U\+0000"),
        ("a\x1b[2J", r"U\+001B"),
        ("a\u2028b", r"U\+2028"),
        ("x" * 5000, "5,000"),
    ],
)
def test_an_invalid_id_is_refused_with_the_reason(value: str, why: str) -> None:
    with pytest.raises(ValueError, match=rf"r.csv:3: .* is not a valid item id: .*{why}"):
        ids(column("item", "a", value), "item")
