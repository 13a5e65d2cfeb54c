"""Pictures whose bytes lie in columns of Parquet files, read a row group at a time."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from PIL import Image

from prefprior.data.columns.columns import Wanted
from prefprior.data.columns.parquet import as_text, parquet_file
from prefprior.data.decoding import BadPictureError, decode
from prefprior.data.pictures import require_id, stamp_of

PICTURE_REMEDY = "Choose the columns with the bytes or paths of the pictures: source.picture_0=... source.picture_1=..."


class ParquetPictures:
    """Pictures by id; only where they lie is kept in memory, and the row group that was read last."""

    def __init__(self, files: Sequence[Path], places: Sequence[tuple[str, str]]) -> None:
        """`places` are (column of ids, column of bytes)."""
        self._files = list(files)
        self._places: dict[str, tuple[int, int, str, int]] = {}
        for number, path in enumerate(self._files):
            wanted = Wanted(
                {f"{use} {n}": name for n, pair in enumerate(places) for use, name in zip(("id", "bytes"), pair)}
            )
            with parquet_file(path) as file:
                wanted.choose(str(path), file.schema_arrow.names)
                for _, byte_column in places:
                    _require_bytes(path, file.schema_arrow.field(byte_column))
                begin = 0
                for group in range(file.num_row_groups):
                    for id_column, byte_column in places:
                        column = file.read_row_group(group, columns=[id_column])[id_column]
                        for row, item in enumerate(as_text(path, id_column, column.combine_chunks()).to_pylist()):
                            if item is not None:
                                require_id(item, f"{path}:{begin + row}")
                                self._places.setdefault(item, (number, group, byte_column, row))
                    begin += file.metadata.row_group(group).num_rows
        # In the order of the files, so that embedding reads each row group once.
        self.ids = sorted(self._places, key=self._places.__getitem__)
        self._cached: tuple[tuple[int, int, str], list[bytes | None]] | None = None

    def open(self, item: str) -> Image.Image:
        """The picture in RGB."""
        return decode(self._read(item), item)

    def path(self, item: str) -> Path | None:
        """None: it has no file of its own."""
        return None

    def stamp(self, item: str) -> str:
        """Its place in a file, and when that was changed."""
        number, group, column, row = self._places[item]
        path = self._files[number]
        return f"{path.resolve()} {group} {column} {row} {stamp_of(path)}"

    def digest(self, item: str) -> str:
        """SHA-256 of the bytes; a picture without bytes is no duplicate."""
        try:
            return hashlib.sha256(self._read(item)).hexdigest()
        except BadPictureError:
            return f"missing {item}"

    def _read(self, item: str) -> bytes:
        if item not in self._places:
            raise BadPictureError("missing")
        number, group, column, row = self._places[item]
        key = (number, group, column)
        if self._cached is None or self._cached[0] != key:
            try:
                with parquet_file(self._files[number]) as file:
                    values = file.read_row_group(group, columns=[column])[column].to_pylist()
            except ValueError as error:
                raise BadPictureError(f"unreadable: {error}") from None
            self._cached = (key, [_bytes(value) for value in values])
        data = self._cached[1][row]
        if not data:
            raise BadPictureError("missing")
        return data


def _require_bytes(path: Path, field: pa.Field) -> None:
    kind = field.type
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind = kind.field("bytes").type
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        raise ValueError(
            f"{path}: the column {field.name!r} has type {kind}, not the bytes of pictures. {PICTURE_REMEDY}"
        )


def _bytes(value: object) -> bytes | None:
    # Hugging Face's image columns are structs of bytes and path.
    if isinstance(value, dict):
        value = value.get("bytes")
    return value if isinstance(value, bytes) else None
