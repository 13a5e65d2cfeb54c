"""Parquet."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pa_parquet

from prefprior.data.columns.columns import Columns, Wanted


@contextmanager
def parquet_file(path: Path) -> Iterator[pa_parquet.ParquetFile]:
    """An open file; whatever goes wrong while it is read is said of the file."""
    try:
        with pa_parquet.ParquetFile(path) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        told = "".join(c if c.isprintable() else "?" for c in " ".join(str(error).split())[:200])
        raise ValueError(f"{path} is not a complete Parquet file ({told}). Is it truncated? Copy it again.") from error


def from_parquet(path: Path, wanted: Wanted) -> Columns:
    """The wanted columns; rows are counted from 0."""
    with parquet_file(path) as file:
        chosen = wanted.choose(str(path), file.schema_arrow.names)
        table = file.read(columns=list(chosen.values()))
    values = {ours: as_text(path, column, table[column].combine_chunks()) for ours, column in chosen.items()}
    return Columns(path, values, 0)


def as_text(path: Path, column: str, array: pa.Array) -> pa.Array:
    """A column as text, null where there is no value; NaN is none either."""
    if pa.types.is_float16(array.type):
        array = array.cast(pa.float32())
    if pa.types.is_floating(array.type):
        array = pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
    if pa.types.is_date(array.type):
        array = array.cast(pa.timestamp("s"))
    if pa.types.is_timestamp(array.type):
        # As text with a date: a bare number would not say whether it counts seconds or less.
        array = array.cast(pa.timestamp("us"), safe=False)
    told = (
        f"{path}: the column {column!r} has type {array.type}, not text or numbers. Choose another "
        "column, or convert it."
    )
    if pa.types.is_boolean(array.type):
        raise ValueError(told)
    try:
        raw = pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type)
        text = array.cast(pa.string(), safe=not raw)  # what is not UTF-8 is named by its row below
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(told) from error
    try:
        text.validate(full=True)
    except pa.ArrowInvalid as error:
        row = next((row for row in range(len(text)) if not _is_utf8(text[row])), 0)
        raise ValueError(f"{path}:{row}: the {column} is not UTF-8. Write the file again with UTF-8 text.") from error
    return text


def _is_utf8(value: pa.Scalar) -> bool:
    try:
        pc.cast(value, pa.binary()).as_py().decode() if value.is_valid else ""
    except UnicodeDecodeError:
        return False
    return True
