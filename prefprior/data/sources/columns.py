"""Reads columns of CSV, TSV, JSONL and Parquet as text, so that every bad value can be named by file and line."""

import io
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from prefprior.errors import nearest

DELIMITERS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
FORMATS = (*DELIMITERS, ".jsonl", ".parquet")


@dataclass(frozen=True, eq=False)
class Columns:
    """Columns of text (pyarrow string arrays, null where absent), and where their rows stand."""

    path: Path
    values: dict[str, pa.Array]
    first_row: int  # what the first row is called: its line in a text file, 0 in Parquet
    files: tuple[tuple[int, Path], ...] = ()  # for several files: from which row on they are which

    @classmethod
    def join(cls, several: "list[Columns]", path: Path) -> "Columns":
        """The rows of several files, which must have the same columns."""
        starts = np.cumsum([0, *(len(c) for c in several[:-1])])
        names = [name for name in several[0].values if all(name in c.values for c in several)]
        values = {name: pa.concat_arrays([c.values[name] for c in several]) for name in names}
        files = tuple((int(start), c.path) for start, c in zip(starts, several))
        return cls(path, values, several[0].first_row, files)

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    def replaced(self, values: dict[str, pa.Array]) -> "Columns":
        """Other rows, made from these; their places are counted from 0."""
        return Columns(self.path, values, 0)

    def stripped(self) -> "Columns":
        """Without the spaces around values."""
        values = {name: pc.utf8_trim_whitespace(column) for name, column in self.values.items()}
        return replace(self, values=values)

    def where(self, row: int) -> str:
        """`file:line`."""
        start, path = max(((start, path) for start, path in self.files if start <= row), default=(0, self.path))
        return f"{path}:{self.first_row + row - start}"

    def some(self, rows: np.ndarray) -> str:
        """The first few places of many."""
        shown = ", ".join(self.where(int(r)) for r in rows[:3])
        return shown if len(rows) <= 3 else f"{shown} and {len(rows) - 3} more"


def read_columns(path: str | Path, names: dict[str, str], optional: tuple[str, ...] = ()) -> Columns:
    """The columns `names` (our name -> the file's) as text; spaces around the file's names do not matter."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty")
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _from_parquet(path, names, optional)
    data = _utf8(path)
    if suffix == ".jsonl":
        return _from_json_lines(path, data, names, optional)
    if suffix in DELIMITERS:
        return _from_delimited(path, data, DELIMITERS[suffix], names, optional)
    raise ValueError(
        f"{path}: ratings are read from {', '.join(FORMATS)}, not from {suffix or 'files without a suffix'}"
    )


def _utf8(path: Path) -> bytes:
    data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path}:{line}: the byte 0x{data[error.start]:02x} is not UTF-8. Save the file as UTF-8 "
            f"(for example: iconv -f latin1 -t utf-8 {path.name} > fixed{path.suffix})."
        ) from error
    return data


def _choose(path: Path, present: list[str], names: dict[str, str], optional: tuple[str, ...]) -> dict[str, str]:
    """Our name -> the column as it is spelled in the file."""
    stripped = {column.strip(): column for column in present}
    missing = [column for ours, column in names.items() if column.strip() not in stripped and ours not in optional]
    if missing:
        told = "; ".join(f"{column!r}{nearest(column, stripped)}" for column in missing)
        raise ValueError(
            f"{path}:1: the columns are {', '.join(map(repr, stripped))}; missing: {told}. "
            "Name the file's own columns with source.columns.<name>=... or rename them."
        )
    return {ours: stripped[column.strip()] for ours, column in names.items() if column.strip() in stripped}


def _from_delimited(
    path: Path, data: bytes, delimiter: str, names: dict[str, str], optional: tuple[str, ...]
) -> Columns:
    first = data.split(b"\n", 1)[0].rstrip(b"\r")
    header = pa_csv.read_csv(
        io.BytesIO(first + b"\n"),
        read_options=pa_csv.ReadOptions(autogenerate_column_names=True),
        parse_options=pa_csv.ParseOptions(delimiter=delimiter),
        convert_options=pa_csv.ConvertOptions(column_types={}),
    )
    present = [str(column[0].as_py()) for column in header.columns]
    chosen = _choose(path, present, names, optional)
    try:
        table = pa_csv.read_csv(
            # Blank lines at the end are nobody's row; elsewhere they would shift the numbers of the lines.
            io.BytesIO(data.rstrip(b"\r\n") + b"\n"),
            # One thread: only then does an error know its line.
            read_options=pa_csv.ReadOptions(column_names=present, skip_rows=1, use_threads=False),
            # Quoted line breaks make rows and lines differ; ids of that kind are refused later anyway.
            parse_options=pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, ignore_empty_lines=False),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(present, pa.string()),
                include_columns=list(chosen.values()),
                strings_can_be_null=True,
                null_values=[""],
                quoted_strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid as error:
        raise ValueError(
            f"{path}: {_csv_problem(str(error))}. Every row must have the {len(present)} columns of the header; "
            "was the file cut short?"
        ) from error
    values = {ours: table[column].combine_chunks() for ours, column in chosen.items()}
    return _not_empty(Columns(path, values, 2))


def _csv_problem(message: str) -> str:
    # "CSV parse error: Row #4: Expected 3 columns, got 2: a,b": its rows count without the skipped header.
    head, _, rest = message.removeprefix("CSV parse error: ").partition(": ")
    if head.startswith("Row #"):
        return f"line {int(head[5:])}: {rest}"
    return message


def _from_json_lines(path: Path, data: bytes, names: dict[str, str], optional: tuple[str, ...]) -> Columns:
    records = []
    for number, line in enumerate(data.splitlines(), 1):
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}:{number}: not JSON ({error}). Was the file cut short?") from error
    return _from_records(path, records, names, optional)


def read_json_records(path: Path, names: dict[str, str], optional: tuple[str, ...] = ()) -> Columns:
    """The same from one JSON file that holds a list of records; rows are counted from 1."""
    if not path.is_file() or path.stat().st_size == 0:
        raise ValueError(f"{path} is {'empty' if path.is_file() else 'missing'}")
    try:
        records = json.loads(_utf8(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}: not JSON ({error.msg}). Was the file cut short?") from error
    if not isinstance(records, list):
        raise ValueError(f"{path}: expected a list of records, found {type(records).__name__}")
    return _from_records(path, records, names, optional)


def _from_records(path: Path, records: list[object], names: dict[str, str], optional: tuple[str, ...]) -> Columns:
    for number, record in enumerate(records, 1):
        if not isinstance(record, dict):
            raise ValueError(f"{path}:{number}: each record is one JSON object with named values")
    rows = [record for record in records if isinstance(record, dict)]
    if not rows:
        raise ValueError(f"{path} holds no records")
    chosen = _choose(path, list(dict.fromkeys(key for row in rows for key in row)), names, optional)

    def text(value: object) -> str | None:
        return None if value is None else value if isinstance(value, str) else json.dumps(value)

    values = {ours: pa.array([text(row.get(column)) for row in rows], pa.string()) for ours, column in chosen.items()}
    return Columns(path, values, 1)


def _from_parquet(path: Path, names: dict[str, str], optional: tuple[str, ...]) -> Columns:
    try:
        file = pa_parquet.ParquetFile(path)
        chosen = _choose(path, file.schema_arrow.names, names, optional)
        table = file.read(columns=list(chosen.values()))
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path} is not a whole Parquet file ({error}). Was it cut short? Copy it again.") from error
    values = {}
    for ours, column in chosen.items():
        array = table[column].combine_chunks()
        if pa.types.is_timestamp(array.type):
            array = array.cast(pa.timestamp("us")).cast(pa.int64())
        try:
            values[ours] = array.cast(pa.string())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise ValueError(f"{path}: the column {column!r} holds {array.type}, not text or numbers") from error
    return _not_empty(Columns(path, values, 0))


def _not_empty(columns: Columns) -> Columns:
    if not columns.values or len(columns) == 0:
        raise ValueError(f"{columns.path} has a header and no rows")
    return columns
