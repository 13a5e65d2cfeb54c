"""Records of JSON: one a line, or a list of them in one file."""

import json
import math
from pathlib import Path

import pyarrow as pa

from prefprior.data.columns.columns import Columns, Wanted
from prefprior.files import parse_json, read_json, require_file


def from_json_lines(path: Path, data: bytes, wanted: Wanted) -> Columns:
    """The wanted columns; `data` is the file's whole content in UTF-8."""
    records = []
    for number, line in enumerate(data.rstrip().splitlines(), 1):
        if not line.strip():
            raise ValueError(f"{path}:{number}: the line is blank. Remove it: each line is one JSON object.")
        records.append(parse_json(line, f"{path}:{number}", _remedy(line)))
    return _from_records(path, records, wanted)


def _remedy(line: bytes) -> str:
    if line.lstrip()[:1] == b"[":
        return "Each line must be one JSON object, not an element of a list: convert the file with jq -c '.[]'"
    return "Each line must be one complete JSON object. Is the file truncated, or an object spread over several lines?"


def read_json_records(path: str | Path, wanted: Wanted) -> Columns:
    """The same from one JSON file that holds a list of records; rows are counted from 1."""
    path = require_file(path)
    records = read_json(path, remedy="Is the file truncated? Copy it again.")
    if not isinstance(records, list):
        raise ValueError(f"{path}: expected a list of records, found {type(records).__name__}. Copy the file again.")
    return _from_records(path, records, wanted)


def _from_records(path: Path, records: list[object], wanted: Wanted) -> Columns:
    if not records:
        raise ValueError(
            f"{path} contains no records. Each record is a JSON object with {', '.join(wanted.names.values())}."
        )
    for number, record in enumerate(records, 1):
        if not isinstance(record, dict):
            raise ValueError(
                f"{path}:{number}: each line must be one JSON object with named values. Correct or remove it. "
                "(jq -c '.[]' splits a list into lines.)"
            )
    rows = [record for record in records if isinstance(record, dict)]
    chosen = wanted.choose(f"{path}:1", list(dict.fromkeys(key for row in rows for key in row)))
    values = {
        ours: pa.array([_text(row.get(column), column, path, n) for n, row in enumerate(rows, 1)], pa.string())
        for ours, column in chosen.items()
    }
    return Columns(path, values, 1)


def _text(value: object, column: str, path: Path, number: int) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(
                f"{path}:{number}: the {column} {value[:60]!r} contains half a character (a lone surrogate). "
                "Write it as valid UTF-8."
            ) from None
        return value
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))  # 7.0 and 7 are the same id
    if isinstance(value, bool) or not isinstance(value, int | float):
        kind = "an object" if isinstance(value, dict) else "a list" if isinstance(value, list) else json.dumps(value)
        raise ValueError(
            f"{path}:{number}: the {column} is {kind}, but it must be text or a number. Correct or remove this row."
        )
    return json.dumps(value)
