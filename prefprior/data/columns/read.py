"""Reads a table of any format that ratings come in."""

from pathlib import Path

from prefprior.data.columns.columns import Columns, Wanted
from prefprior.data.columns.delimited import DELIMITERS, from_delimited
from prefprior.data.columns.json_records import from_json_lines
from prefprior.data.columns.parquet import from_parquet
from prefprior.files import read_utf8, require_file

FORMATS = (*DELIMITERS, ".jsonl", ".parquet")


def read_columns(path: str | Path, wanted: Wanted) -> Columns:
    """The wanted columns as text."""
    path = require_file(path)
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(
            f"{path}: tables are read from {', '.join(FORMATS)} files, not from "
            f"{suffix or 'files without a suffix'}. Save the table in one of these formats."
        )
    if path.stat().st_size == 0:
        raise ValueError(
            f"{path} is empty. It must contain a table with the columns {', '.join(wanted.names.values())}."
        )
    if suffix == ".parquet":
        columns = from_parquet(path, wanted)
    elif suffix == ".jsonl":
        columns = from_json_lines(path, read_utf8(path), wanted)
    else:
        columns = from_delimited(path, read_utf8(path), DELIMITERS[suffix], wanted)
    if not columns.values or len(columns) == 0:
        raise ValueError(f"{columns.path} has a header but no rows. Add rows, or give another file.")
    return columns
