"""CSV and TSV.

Shapes: R rows, the header among them.
"""

import io
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from prefprior.data.columns.columns import Columns, Wanted, absent

DELIMITERS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
# pyarrow reads a file in blocks, and a row must end in the block after its own. An open quote makes one row of all
# that follows.
BLOCK = 1 << 26


def from_delimited(path: Path, data: bytes, delimiter: str, wanted: Wanted) -> Columns:
    """The wanted columns; `data` is the file's whole content in UTF-8."""
    first = re.split(rb"[\r\n]", data[: 1 << 20], maxsplit=1)[0]
    if not first.strip():
        blank = "the file contains only blank lines" if not data.strip() else "the first line is blank"
        raise ValueError(
            f"{path}:1: {blank}. The first line must name the columns, for example {_example(wanted, delimiter)}"
        )
    present = _header(path, first, delimiter)
    chosen = wanted.choose(f"{path}:1", present)
    # Blank lines at the end are not rows; elsewhere they would shift the line numbers.
    data = data.rstrip(b"\r\n") + b"\n"
    # Names that are not wanted may be there twice, which pyarrow does not take.
    spelled = [name if name in chosen.values() else f"{place}:{name}" for place, name in enumerate(present)]
    try:
        table = pa_csv.read_csv(
            io.BytesIO(data),
            # One thread: only then does an error know its line.
            read_options=pa_csv.ReadOptions(column_names=spelled, skip_rows=1, use_threads=False, block_size=BLOCK),
            parse_options=pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, ignore_empty_lines=False),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(spelled, pa.string()),
                include_columns=list(chosen.values()),
                strings_can_be_null=True,
                null_values=[""],
                quoted_strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid as error:
        raise ValueError(
            f"{_problem(path, data, str(error))}. Every row must have the {len(present)} columns of the "
            "header. Is the file truncated, or a quote not closed?"
        ) from error
    values = {ours: table[column].combine_chunks() for ours, column in chosen.items()}
    line_N = None
    if b'"' in data:
        line_R = row_lines(data)
        if len(line_R) == table.num_rows + 1 and line_R[-1] != len(line_R):
            line_N = line_R[1:]
    columns = Columns(path, values, 2, line_N)
    empty = np.flatnonzero(np.logical_and.reduce([absent(value) for value in values.values()]))
    if empty.size:
        raise ValueError(f"{columns.some(empty)}: the line is blank or has no values in the needed columns. Remove it.")
    return columns


def row_lines(data: bytes) -> np.ndarray:
    """(R,) the line on which each row begins: quoted values may have line breaks in them."""
    text = np.frombuffer(data, dtype=np.uint8)
    breaks = np.flatnonzero((text == 10) | ((text == 13) & (np.append(text[1:], 0) != 10)))
    quotes = np.flatnonzero(text == ord('"'))
    ends = np.flatnonzero(np.searchsorted(quotes, breaks) % 2 == 0)  # a doubled quote leaves it even
    return np.concatenate([[1], ends[:-1] + 2]) if len(ends) else np.ones(1, dtype=np.int64)


def _header(path: Path, first: bytes, delimiter: str) -> list[str]:
    try:
        header = pa_csv.read_csv(
            io.BytesIO(first + b"\n"),
            read_options=pa_csv.ReadOptions(autogenerate_column_names=True),
            parse_options=pa_csv.ParseOptions(delimiter=delimiter),
            convert_options=pa_csv.ConvertOptions(strings_can_be_null=False, null_values=[]),
        )
    except pa.ArrowInvalid as error:
        raise ValueError(
            f"{path}:1: the first line, {first[:60].decode(errors='replace')!r}, does not name columns. "
            "Is a quote not closed? The column names must be in one line, separated by commas (.csv) or "
            "tabs (.tsv)."
        ) from error
    return [str(column[0].as_py()) for column in header.columns]


def _example(wanted: Wanted, delimiter: str) -> str:
    return delimiter.join(column for ours, column in wanted.names.items() if ours not in wanted.optional)


def _problem(path: Path, data: bytes, message: str) -> str:
    # "CSV parse error: Row #4: Expected 3 columns, got 2: a,b"; the header is row 1.
    head, _, rest = message.removeprefix("CSV parse error: ").partition(": ")
    line_R = row_lines(data)
    if head.startswith("Row #"):
        row = int(head[5:]) - 1
        line = line_R[row] if row < len(line_R) else row + 1
        return f"{path}:{line}: {' '.join(rest[:120].split())}"
    if "straddling" in message:
        start_R = np.concatenate([[0], np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == 10) + 1])
        longest = int(np.argmax(np.diff(start_R[np.append(line_R - 1, len(start_R) - 1)])))
        return f"{path}:{line_R[longest]}: a row of more than {BLOCK >> 20} MB"
    return f"{path}: {message}"
