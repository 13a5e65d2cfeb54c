"""Pictures whose bytes lie in columns of Parquet files, read a row group at a time."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from PIL import Image

from prefprior.data.columns.columns import Wanted
from prefprior.data.columns.parquet import parquet_file
from prefprior.data.decoding import BadPictureError, decode


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
                for group in range(file.num_row_groups):
                    for id_column, byte_column in places:
                        ids = file.read_row_group(group, columns=[id_column])[id_column].cast(pa.string()).to_pylist()
                        for row, item in enumerate(ids):
                            if item is not None:
                                self._places.setdefault(item, (number, group, byte_column, row))
        # In the order of the files, so that embedding reads each row group once.
        self.ids = sorted(self._places, key=self._places.__getitem__)
        self._cached: tuple[tuple[int, int, str], list[bytes | None]] | None = None

    def open(self, item: str) -> Image.Image:
        """The picture in RGB."""
        return decode(self._read(item), item)

    def path(self, item: str) -> Path | None:
        """None: it has no file of its own."""
        return None

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


def _bytes(value: object) -> bytes | None:
    # Hugging Face's image columns are structs of bytes and path.
    if isinstance(value, dict):
        value = value.get("bytes")
    return value if isinstance(value, bytes) else None
