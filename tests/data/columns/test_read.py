"""Tables of every format as columns of text: what is taken as meant, and places that are right."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prefprior.data.columns.columns import Columns, Wanted
from prefprior.data.columns.read import read_columns
from tests.data.small import csv

WANTED = Wanted({"user": "user", "item": "item"})


def test_unused_columns_may_be_duplicated_and_long(tmp_path: Path) -> None:
    path = csv(tmp_path / "r.csv", f"ann,a,{'x' * 3_000_000},1,2", header="user,item,prompt,note,note")
    read = read_columns(path, WANTED)
    assert {name: column.to_pylist() for name, column in read.values.items()} == {"user": ["ann"], "item": ["a"]}
    with pytest.raises(ValueError, match=r"r.csv:1: there are 2 columns named 'note'"):
        read_columns(path, Wanted({"user": "user", "item": "note"}))


def test_line_numbers_are_right_after_values_with_line_breaks(tmp_path: Path) -> None:
    rows = ['ann,a,"one\ntwo ""2"""', 'bob,b,"\r\n\r\n"', "cat,c,", 'dan,d,"x\n"']
    read = read_columns(csv(tmp_path / "r.csv", *rows, header="user,item,note"), WANTED)
    assert [read.where(row).split(":")[1] for row in range(4)] == ["2", "4", "7", "8"]
    with pytest.raises(ValueError, match=r"bad.csv:8: Expected 3 columns, got 2"):
        read_columns(csv(tmp_path / "bad.csv", *rows[:3], "dan,d", header="user,item,note"), WANTED)


def test_line_numbers_survive_joining_and_selecting(tmp_path: Path) -> None:
    one, two = (
        csv(tmp_path / "1.csv", "ann,a", header="user,item"),
        csv(tmp_path / "2.csv", "b,b", "c,c", header="user,item"),
    )
    joined = Columns.join([read_columns(path, WANTED) for path in (one, two)], tmp_path)
    made = joined.made({"user": pa.array(["c", "ann"])}, np.asarray([2, 0]))
    assert made.some(np.arange(2)) == f"{two}:3, {one}:2"


def test_carriage_returns_are_line_ends(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_bytes(b"user,item\rann,a\rbob,b\r")
    assert read_columns(tmp_path / "r.csv", WANTED).values["item"].to_pylist() == ["a", "b"]


def test_json_ids_may_be_integers_or_whole_floats(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text(
        "".join(json.dumps({"user": u, "item": "a"}) + "\n" for u in (7, 7.0, "7")) + "\n"
    )
    assert read_columns(tmp_path / "r.jsonl", WANTED).values["user"].to_pylist() == ["7", "7", "7"]


@pytest.mark.parametrize("kind", [pa.timestamp("ns"), pa.timestamp("ms"), pa.timestamp("s", tz="UTC"), pa.date32()])
def test_parquet_times_keep_their_date(tmp_path: Path, kind: pa.DataType) -> None:
    days = pa.array([365], pa.int32()).cast(pa.date32()).cast(pa.timestamp("s")).cast(kind)
    pq.write_table(pa.table({"user": ["ann"], "item": days}), tmp_path / "r.parquet")
    assert read_columns(tmp_path / "r.parquet", WANTED).values["item"][0].as_py().startswith("1971-01-01")
