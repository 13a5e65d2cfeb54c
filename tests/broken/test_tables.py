"""Tables of ratings in CSV, TSV, JSONL and Parquet."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prefprior.data.columns import delimited
from prefprior.data.sources.table import TableSource
from tests.broken.case import LFS, PAGE, Case, Refused, case, gone, instead, write

GOOD = ("ann,a,1,100,train", "bob,b,5,200,test")
HEADER = "user,item,rating,time,split"


def ratings(path: Path, **arguments: Any) -> Any:
    return TableSource(ratings=str(path), pictures=str(path.parent), **arguments).ratings()


def csv(*rows: str, header: str = HEADER) -> Callable[[Path], Any]:
    return write("r.csv", "\n".join([header, *GOOD, *rows, ""]))


def choices(*rows: str) -> Callable[[Path], Any]:
    """After a choice among two and a rating."""
    return write(
        "r.csv", "\n".join(["user,item,rating,question,picked", "ann,a,,1,1", "ann,b,,1,0", "bob,b,5,,", *rows, ""])
    )


CSV = [
    case("an empty file", write("r.csv", b""), "r.csv is empty", "columns user, item"),
    case("nothing but line ends", write("r.csv", b"\n\n\r\n\n"), "r.csv:1: the file contains only blank lines", "user,item"),
    case("nothing but a byte-order mark", write("r.csv", b"\xef\xbb\xbf"), "r.csv:1: the file contains only blank lines", "must name the columns"),
    case("a header alone", write("r.csv", HEADER + "\n"), "r.csv has a header but no rows", "Add rows"),
    case("a blank first line", write("r.csv", "\n" + HEADER), "r.csv:1: the first line is blank", "must name the columns"),
    case("a file that is not there", gone("r.csv"), "there is no file", "r.csv", "Is the path right?"),
    case("a folder", instead("r.csv", Path.mkdir), "r.csv is a folder, not a file", "Give the path of a file"),
    case("a FIFO, which would be waited for", instead("r.csv", os.mkfifo), "r.csv is a FIFO", "Give the path of a file"),
    case("a device", instead("r.csv", lambda p: p.symlink_to("/dev/zero")), "a device, not a file", "Give the path"),
    case("a link to nothing", instead("r.csv", lambda p: p.symlink_to("gone")), "there is no file", "Is the path right?"),
    case("a link in a circle", instead("r.csv", lambda p: p.symlink_to(p)), "r.csv", "Give the path of a file"),
    case("semicolons", csv(header=HEADER.replace(",", ";")), "r.csv:1", "separated by ';'", "Use commas"),
    case("tabs", csv(header=HEADER.replace(",", "\t")), "r.csv:1", "separated by '\\t'", ".tsv"),
    case("no header", write("r.csv", "\n".join(GOOD)), "r.csv:1: the columns are 'ann', 'a'", "missing: 'user'", "source.columns"),
    case("a mistyped column", csv(header=HEADER.replace("item", "itm")), "r.csv:1", "'item'; did you mean itm?", "rename"),
    case("a column in capitals", csv(header=HEADER.upper()), "r.csv:1", "missing: 'user'", "source.columns"),
    case("two columns of users", csv(header="user,item,rating,time,user"), "r.csv:1: there are 2 columns named 'user'", "remove or rename"),
    case("two columns of ratings, one with a space", csv(header="user,item,rating,time, rating"), "2 columns named 'rating'", "remove or rename"),
    case("a quote left open in the header", csv(header='user,"item,rating,time,split'), "r.csv:1", "Is a quote not closed?"),
    case("a quote left open in a row", csv('cat,"c,3,300,train', "dan,d,3,300,train"), "r.csv:4", "a quote not closed"),
    case("a row with too few values", csv("cat,c,3"), "r.csv:4: Expected 5 columns, got 3", "Every row must have"),
    case("a row with too many values", csv("cat,c,3,300,train,x"), "r.csv:4: Expected 5 columns, got 6", "Every row must have"),
    case("a row cut short by a full disk", write("r.csv", f"{HEADER}\n{GOOD[0]}\nbob,b"), "r.csv:3", "Is the file truncated"),
    case("a blank line in the middle", csv("", "cat,c,3,300,train"), "r.csv:4: the line is blank", "Remove it"),
    case("latin-1", write("r.csv", "user,item\nann,caf\xe9\n".encode("latin-1")), "r.csv:2: the byte 0xe9 is not UTF-8", "iconv -f latin1"),
    case("UTF-16", write("r.csv", "user,item\nann,a\n".encode("utf-16")), "r.csv:1: this is UTF-16", "iconv -f utf-16"),
    case("UTF-16 without a mark", write("r.csv", "user,item\nann,a\n".encode("utf-16-le")), "r.csv:1", "NUL bytes", "iconv -f utf-16le"),
    case("a gzip archive", write("r.csv", gzip.compress(b"user,item\nann,a\n")), "r.csv:1: this is a gzip archive", "gunzip"),
    case("a spreadsheet", write("r.csv", b"PK\x03\x04\x14\x00\xff\xfe"), "r.csv:1: this is a zip archive (or a spreadsheet)", "save the table as .csv"),
    case("Parquet by another name", write("r.csv", b"PAR1\x15\x04\xff\xfe"), "r.csv:1: this is Parquet", "Name it .parquet"),
    case("a Git LFS pointer", write("r.csv", LFS), "r.csv is a Git LFS pointer", "git lfs pull"),
    case("a web page", write("r.csv", PAGE), "r.csv:1: the columns are '<!DOCTYPE html>'", "missing: 'user'"),
    case("no user", csv(",c,3,300,train"), "r.csv:4: the user is missing", "Complete or remove these rows"),
    case("a blank user", csv("  ,c,3,300,train"), "r.csv:4", "is not a valid user id: it is blank", "Correct it"),
    case("no item", csv("cat,,3,300,train"), "r.csv:4: the item is missing", "Complete or remove these rows"),
    case("a NUL in an item", csv("cat,c\x00,3,300,train"), "r.csv:4", "invisible character U+0000", "Correct it"),
    case("a line end in an item", csv('cat,"c\nd",3,300,train'), "r.csv:4", "invisible character U+000A", "Correct it"),
    case("an escape sequence in a user", csv("c\x1b[2Jat,c,3,300,train"), "r.csv:4", "invisible character U+001B", "Correct it"),
    case("an item of 5,000 characters", csv(f"cat,{'c' * 5000},3,300,train"), "r.csv:4", "5,000 characters, more than 4,096", "Correct it"),
    case("an item of 200,000 characters", csv(f"cat,{'c' * 200_000},3,300,train"), "r.csv:4", "200,000 characters", "Correct it"),
    case("an item of 12 MB", csv(f"cat,{'c' * 12_000_000},3,300,train"), "r.csv:4", "12,000,000 characters", "Correct it"),
    case("users that a program did not know", csv("nan,c,3,300,train"), "r.csv:4: 'nan' is not a valid user id", "leave missing values empty"),
    case("an item that is None", csv("cat,None,3,300,train"), "r.csv:4: 'None' is not a valid item id", "leave missing values empty"),
    case("an id that a spreadsheet rounded", csv("1.23457E+12,c,3,300,train"), "r.csv:4: '1.23457E+12'", "rounded", "Store ids as text"),
    case("items that differ in a space", csv("cat,a ,3,300,train"), "r.csv:2, ", "r.csv:4: the item ids 'a' and 'a ' differ only", "Write both in the same way"),
    case("items that differ in how accents are stored", csv("cat,\xe9,3,300,train", "dan,e\u0301,3,300,train"), "r.csv:4, ", "the encoding of accents", "Write both in the same way"),
    case("items that differ in a space without width", csv("cat,a\u200b\xe9,3,300,train", "dan,a\xe9,3,300,train"), "r.csv:4, ", "differ only in", "Write both in the same way"),
    case("a rating in words", csv("cat,c,good,300,train"), "r.csv:4: the rating 'good' is not a finite number", "Correct or remove these rows"),
    case("a rating that is NaN", csv("cat,c,NaN,300,train"), "r.csv:4: the rating 'NaN'", "Correct or remove these rows"),
    case("an infinite rating", csv("cat,c,-inf,300,train"), "r.csv:4: the rating '-inf'", "Correct or remove these rows"),
    case("a rating beyond all numbers", csv("cat,c,1e400,300,train"), "r.csv:4: the rating '1e400'", "Correct or remove these rows"),
    case("a rating with a decimal comma", csv('cat,c,"3,5",300,train'), "r.csv:4: the rating '3,5'", "Correct or remove these rows"),
    case("a rating as a share", csv("cat,c,4/5,300,train"), "r.csv:4: the rating '4/5'", "Correct or remove these rows"),
    case("a rating that is a formula", csv("cat,c,=A1+1,300,train"), "r.csv:4: the rating '=A1+1'", "Correct or remove these rows"),
    case("a rating of 70 characters", csv(f"cat,c,{'x' * 70},300,train"), "r.csv:4: the rating 'xxx", "...", "Correct or remove these rows"),
    case("a rating that is left out", csv("cat,c,,300,train"), "r.csv:4: the rating is missing, but other rows", "leave the column out"),
    case("a rating too large to be one", csv("cat,c,1e35,300,train"), "r.csv:4: the rating 1e+35 is too large", "Correct or remove these rows"),
    case("ratings that 32 bits cannot tell apart", write("r.csv", "user,item,rating\nann,a,16777216\nbob,b,16777217\n"), "r.csv", "cannot be distinguished in float32", "Subtract"),
    case("a person who contradicts themselves", csv("ann,a,5,300,train"), "r.csv:2, ", "r.csv:4: user 'ann' rates the item 'a' 2 times", "source.duplicates=first, last or mean"),
    case("a time in words", csv("cat,c,3,yesterday,train"), "r.csv:4: the time 'yesterday' is not a time", "ISO 8601"),
    case("milliseconds among seconds", csv("cat,c,3,1714564800000,train"), "r.csv:4", "is in milliseconds, but most times", "All times of a file"),
    case("nanoseconds among seconds", csv("cat,c,3,1714564800000000000,train"), "r.csv:4", "is in nanoseconds, but most", "All times of a file"),
    case("an infinite time", csv("cat,c,3,inf,train"), "r.csv:4: the time 'inf' is not a time", "Leave unknown times empty"),
    case("ISO 8601 among numbers", csv("cat,c,3,2024-05-01T12:00:00Z,train"), "r.csv:4", "is not a time", "or all must be ISO 8601"),
    case("dates without dashes", write("r.csv", "user,item,time\nann,a,20240501\nbob,b,20240502\n"), "r.csv:2, ", "looks like a date", "Write 2024-05-01"),
    case("dates of one country", write("r.csv", "user,item,time\nann,a,05/31/2024\n"), "r.csv:2: the time '05/31/2024' is not a time", "ISO 8601"),
    case("ticks since the year 1", write("r.csv", "user,item,time\nann,a,638501472000000000\n"), "r.csv:2", "is not a time in nanoseconds since 1970", "All times of a file"),
    case("the year 9999 for no time", write("r.csv", "user,item,time\nann,a,9999-12-31\nbob,b,2024-05-01\n"), "r.csv:2: the time '9999-12-31'", "Leave unknown times empty"),
    case("the year 1 for no time", write("r.csv", "user,item,time\nann,a,0001-01-01\nbob,b,2024-05-01\n"), "r.csv:2: the time '0001-01-01'", "Leave unknown times empty"),
    case("times of before photography", write("r.csv", "user,item,time\nann,a,-99999999999999\nbob,b,1714564800000\ncat,c,1714564800000\n"), "r.csv:2", "is not a time", "All times of a file"),
    case("a propensity of 0", write("r.csv", "user,item,propensity\nann,a,0.5\nbob,b,0\n"), "r.csv:3: the propensity '0' must be above 0 and at most 1", "Correct it"),
    case("a propensity above 1", write("r.csv", "user,item,propensity\nann,a,50\nbob,b,0.5\n"), "r.csv:2: the propensity '50' must be above 0 and at most 1", "Correct it"),
    case("a missing propensity", write("r.csv", "user,item,propensity\nann,a,0.5\nbob,b,\n"), "r.csv:3: the propensity", "in every row", "leave the column out"),
    case("a propensity in words", write("r.csv", "user,item,propensity\nann,a,often\nbob,b,0.5\n"), "r.csv:2: the propensity 'often' is not a finite number", "Correct"),
    case("shown in words", write("r.csv", "user,item,shown\nann,a,yes\nbob,b,1\n"), "r.csv:2: the shown 'yes' is not a finite number", "Correct"),
    case("shown twice", write("r.csv", "user,item,shown\nann,a,2\nbob,b,1\n"), "r.csv:2: the shown '2' must be 0 or 1", "Correct it"),
    case("a choice of one item", choices("cat,c,,1,1"), "r.csv:5: the question of user 'cat' shows this item only", "whether picked or passed over"),
    case("an item shown twice in a choice", choices("ann,a,,1,0"), "r.csv:2, ", "r.csv:5: the item 'a' is shown twice", "Remove one"),
    case("a pick in words", choices("cat,c,,1,yes", "cat,d,,1,0"), "r.csv:5: the picked 'yes' is not a finite number", "Correct"),
    case("a pick that is 2", choices("cat,c,,1,2", "cat,d,,1,0"), "r.csv:5: picked is '2'; it must be 1", "Correct these rows"),
    case("a choice without a pick", choices("cat,c,,1,", "cat,d,,1,0"), "r.csv:5: the row has a question, but nothing in picked", "write 1"),
    case("a pick without a choice", choices("cat,c,,,1"), "r.csv:5: the row has picked, but no question", "name the question"),
    case("a rating of a choice", choices("cat,c,3,1,1", "cat,d,,1,0"), "r.csv:5: the row has both a rating and a question", "picked instead"),
    case("neither a rating nor a choice", choices("cat,c,,,"), "r.csv:5: the rating is missing", "Complete or remove"),
    case("questions without picks", write("r.csv", "user,item,question\nann,a,1\nann,b,1\n"), "r.csv: there is a column question, but no column picked", "Add it"),
    case("picks without questions", write("r.csv", "user,item,picked\nann,a,1\nann,b,0\n"), "r.csv: there is a column picked, but no column question", "Add it"),
    case("a choice in two parts", write("r.csv", "user,item,question,picked,split\nann,a,1,1,train\nann,b,1,0,test\n"), "r.csv:2, ", "'train' and 'test' in one question", "belong to one part"),
    case("a part of another name", csv("cat,c,3,300,dev"), "r.csv:4: the split 'dev' is not a part", "train, val or test", "Rename it"),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    csv()(tmp_path)
    return tmp_path


def test_the_good_table_is_read(folder: Path) -> None:
    assert len(ratings(folder / "r.csv")) == 2


@pytest.mark.parametrize("case", CSV, ids=str)
def test_csv(case: Case, folder: Path, refused: Refused) -> None:
    case.spoil(folder)
    refused(case, "tables: CSV", lambda: ratings(folder / "r.csv"))


ARGUMENTS = [
    (case("a rating off the stated scale", csv("cat,c,9,300,train"), "r.csv:4: the rating 9 is outside the scale 1 to 5", "source.low"), {"low": 1, "high": 5}),
    (case("a scale upside down", csv(), "r.csv: the scale would be 5 to 1", "Set source.low below source.high"), {"low": 5, "high": 1}),
    (case("a scale that begins above all ratings", csv(), "r.csv: the scale would be 9 to 5", "Set source.low"), {"low": 9}),
    (case("likes that begin off the scale", csv(), "r.csv: source.likes_from=7 is outside the scale 1 to 5", "Choose a value on the scale"), {"likes_from": 7}),
    (case("a scale that is NaN", csv(), "r.csv: the scale would be nan to 5", "Set source.low"), {"low": float("nan")}),
    (case("a way to settle repeats that there is not", csv(), "source.duplicates is 'lst'", "did you mean last"), {"duplicates": "lst"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("case", "arguments"), ARGUMENTS, ids=lambda value: str(value) if isinstance(value, Case) else ""
)
def test_csv_with_source_arguments(case: Case, arguments: dict[str, Any], folder: Path, refused: Refused) -> None:
    case.spoil(folder)
    refused(case, "tables: CSV", lambda: ratings(folder / "r.csv", **arguments))


def test_a_row_larger_than_a_block(folder: Path, refused: Refused) -> None:
    long = case(
        "a row larger than a block",
        csv(*[f'cat{i},c,3,300,"{"x" * 3000}"' for i in range(3)]),
        "r.csv:4",
        "a row of more than",
        "quote not closed",
    )
    long.spoil(folder)
    with mock.patch.object(delimited, "BLOCK", 1 << 10):
        refused(long, "tables: CSV", lambda: ratings(folder / "r.csv"))


OTHER_NAMES = [
    case("a spreadsheet's own suffix", write("r.xlsx", b"PK"), "r.xlsx", "not from .xlsx", "Save the table in one of these formats"),
    case("no suffix", write("r", b"user,item\n"), "not from files without a suffix", "Save the table in one"),
    case("a compressed table by its suffix", write("r.csv.gz", gzip.compress(b"user,item\nann,a\n")), "r.csv.gz", "not from .gz", "Save the table in one"),
    case("commas in a TSV", write("r.tsv", "user,item\nann,a\n"), "r.tsv:1", "separated by ','", "or tabs (.tsv)"),
    case("a TSV row with too few values", write("r.tsv", "user\titem\nann\n"), "r.tsv:2: Expected 2 columns, got 1", "Every row"),
    case("a TSV without items", write("r.tsv", "user\tpicture\nann\ta\n"), "r.tsv:1", "missing: 'item'", "source.columns"),
    case("a text file with spaces between values", write("r.txt", "user item\nann a\n"), "r.txt:1", "missing: 'user'", "rename"),
    case("an empty TSV", write("r.tsv", b""), "r.tsv is empty", "columns user, item"),
]  # fmt: skip


@pytest.mark.parametrize("case", OTHER_NAMES, ids=str)
def test_column_names(case: Case, tmp_path: Path, refused: Refused) -> None:
    case.spoil(tmp_path)
    refused(case, "tables: TSV and other names", lambda: ratings(next(tmp_path.iterdir())))


def jsonl(*lines: str) -> Callable[[Path], Any]:
    good = ['{"user": "ann", "item": "a", "rating": 1}', '{"user": "bob", "item": "b", "rating": 5}']
    return write("r.jsonl", "\n".join([*good, *lines, ""]))


JSONL = [
    case("an empty JSONL", write("r.jsonl", b""), "r.jsonl is empty", "columns user, item"),
    case("a JSONL of line ends", write("r.jsonl", b"\n\n"), "r.jsonl contains no records", "JSON object with user"),
    case("a last line cut short", jsonl('{"user": "cat", "it'), "r.jsonl:3: not JSON", "truncated"),
    case("a blank line of JSONL", jsonl("", '{"user": "cat", "item": "c", "rating": 3}'), "r.jsonl:3: the line is blank", "Remove it"),
    case("a list over all records", write("r.jsonl", '[\n{"user": "ann", "item": "a"}\n]'), "r.jsonl:1: not JSON", "jq -c"),
    case("a list on one line", write("r.jsonl", '[{"user": "ann", "item": "a"}]'), "r.jsonl:1", "one JSON object", "jq -c"),
    case("an object over several lines", write("r.jsonl", '{\n"user": "ann",\n"item": "a"}'), "r.jsonl:1: not JSON", "Each line must be one complete JSON object"),
    case("two objects on one line", jsonl('{"user": "c"} {"user": "d"}'), "r.jsonl:3: not JSON (Extra data", "one complete JSON object"),
    case("Python's quotes", jsonl("{'user': 'cat'}"), "r.jsonl:3: not JSON", "at character 2"),
    case("a comma too many", jsonl('{"user": "cat",}'), "r.jsonl:3: not JSON", "one complete JSON object"),
    case("a key that is there twice", jsonl('{"user": "cat", "user": "dan", "item": "c", "rating": 3}'), "r.jsonl:3", "the key 'user' appears twice", "one complete JSON object"),
    case("nested too deeply", jsonl("[" * 100_000), "r.jsonl:3", "nested too deeply", "Each line must be one JSON object"),
    case("a deep value", jsonl('{"user": ' + "[" * 900 + "]" * 900 + ', "item": "c", "rating": 3}'), "r.jsonl:3: the user is a list", "Correct or remove this row"),
    case("a number of 10,000 digits", jsonl('{"user": ' + "9" * 10_000 + ', "item": "c"}'), "r.jsonl:3", "cannot be read as JSON", "one complete JSON object"),
    case("a user that is an object", jsonl('{"user": {"id": 3}, "item": "c", "rating": 3}'), "r.jsonl:3: the user is an object", "Correct or remove this row"),
    case("a user that is true", jsonl('{"user": true, "item": "c", "rating": 3}'), "r.jsonl:3: the user is true", "Correct or remove this row"),
    case("a user that is null", jsonl('{"user": null, "item": "c", "rating": 3}'), "r.jsonl:3: the user is missing", "Complete or remove these rows"),
    case("a user that is NaN", jsonl('{"user": NaN, "item": "c", "rating": 3}'), "r.jsonl:3: the user is missing", "Complete or remove these rows"),
    case("a record without an item", jsonl('{"user": "cat", "rating": 3}'), "r.jsonl:3: the item is missing", "Complete or remove these rows"),
    case("half of a character", jsonl('{"user": "\\ud83d", "item": "c", "rating": 3}'), "r.jsonl:3: the user '\\ud83d' contains half a character", "Write it as valid UTF-8"),
    case("a record that is a number", jsonl("3"), "r.jsonl:3: each line must be one JSON object", "Correct or remove it"),
    case("no record with an item", write("r.jsonl", '{"user": "ann", "picture": "a"}'), "r.jsonl:1", "missing: 'item'", "source.columns"),
    case("a rating that is true", jsonl('{"user": "cat", "item": "c", "rating": true}'), "r.jsonl:3: the rating is true", "Correct or remove this row"),
    case("a rating as text", jsonl('{"user": "cat", "item": "c", "rating": "high"}'), "r.jsonl:3: the rating 'high'", "Correct or remove these rows"),
    case("JSONL in latin-1", write("r.jsonl", '{"user": "caf\xe9"}'.encode("latin-1")), "r.jsonl:1: the byte 0xe9", "iconv"),
]  # fmt: skip


@pytest.mark.parametrize("case", JSONL, ids=str)
def test_jsonl(case: Case, tmp_path: Path, refused: Refused) -> None:
    case.spoil(tmp_path)
    refused(case, "tables: JSONL", lambda: ratings(tmp_path / "r.jsonl"))


def parquet(**columns: Any) -> Callable[[Path], Any]:
    given = {"user": ["ann", "bob"], "item": ["a", "b"], "rating": [1.0, 5.0]} | columns
    table = pa.table({name: value for name, value in given.items() if value is not None})
    return lambda folder: pq.write_table(table, folder / "r.parquet")


def two_ratings(folder: Path) -> None:
    arrays = [pa.array(["ann"]), pa.array(["a"]), pa.array([1]), pa.array([5])]
    pq.write_table(pa.Table.from_arrays(arrays, ["user", "item", "rating", "rating"]), folder / "r.parquet")


def damaged(at: slice) -> Callable[[Path], Any]:
    def spoil(folder: Path) -> None:
        parquet(user=[f"user {i}" for i in range(2)])(folder)
        content = bytearray((folder / "r.parquet").read_bytes())
        content[at] = b"\xff" * len(content[at])
        (folder / "r.parquet").write_bytes(content)

    return spoil


PARQUET = [
    case("an empty Parquet file", write("r.parquet", b""), "r.parquet is empty", "columns user, item"),
    case("CSV by the name of Parquet", write("r.parquet", b"user,item\nann,a\n"), "r.parquet is not a complete Parquet file", "Copy it again"),
    case("a Parquet file cut short", lambda f: (parquet()(f), (f / "r.parquet").write_bytes((f / "r.parquet").read_bytes()[:-20])), "r.parquet is not a complete Parquet file", "truncated"),
    case("damaged pages", damaged(slice(4, 60)), "r.parquet is not a complete Parquet file", "Copy it again"),
    case("a damaged footer", damaged(slice(-300, -100)), "r.parquet is not a complete Parquet file", "Copy it again"),
    case("a Parquet file without rows", parquet(user=pa.array([], pa.string()), item=pa.array([], pa.string()), rating=None), "r.parquet has a header but no rows", "Add rows"),
    case("two fields of ratings", two_ratings, "r.parquet: there are 2 columns named 'rating'", "remove or rename"),
    case("no field of items", parquet(item=None), "r.parquet", "missing: 'item'", "source.columns"),
    case("users in lists", parquet(user=[["ann"], ["bob"]]), "r.parquet: the column 'user' has type list", "Choose another column, or convert it"),
    case("users in structs", parquet(user=[{"id": 1}, {"id": 2}]), "r.parquet: the column 'user' has type struct", "convert it"),
    case("users that are true and false", parquet(user=[True, False]), "r.parquet: the column 'user' has type bool", "convert it"),
    case("a null user", parquet(user=["ann", None]), "r.parquet:1: the user is missing", "Complete or remove these rows"),
    case("a user that is not a number", parquet(user=np.asarray([7.0, np.nan])), "r.parquet:1: the user is missing", "Complete or remove these rows"),
    case("long ids as floats", parquet(user=np.asarray([1.2345678901234567e22, 7.0])), "r.parquet:0", "rounded", "Store ids as text"),
    case("text that is not UTF-8", parquet(item=[b"a", b"caf\xe9"]), "r.parquet:1: the item is not UTF-8", "Write the file again"),
    case("ratings of true and false", parquet(rating=[True, False]), "r.parquet: the column 'rating' has type bool", "convert it"),
    case("a rating that is null", parquet(rating=[1.0, None]), "r.parquet:1: the rating is missing", "Complete or remove these rows"),
    case("an infinite rating of Parquet", parquet(rating=[1.0, np.inf]), "r.parquet:1: the rating 'inf'", "Correct or remove these rows"),
    case("a time of the year 9999", parquet(time=pa.array([0, 253402214400], pa.int64()).cast(pa.timestamp("s"))), "r.parquet:1", "is not a time between 1900 and 2200", "Leave unknown times empty"),
    case("a Git LFS pointer for Parquet", write("r.parquet", LFS), "r.parquet is a Git LFS pointer", "git lfs pull"),
]  # fmt: skip


@pytest.mark.parametrize("case", PARQUET, ids=str)
def test_parquet(case: Case, tmp_path: Path, refused: Refused) -> None:
    case.spoil(tmp_path)
    refused(case, "tables: Parquet", lambda: ratings(tmp_path / "r.parquet"))
