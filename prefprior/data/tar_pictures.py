"""Pictures in webdataset tars."""

import hashlib
import tarfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from webdataset.tariterators import base_plus_ext

from prefprior.data.decoding import BadPictureError, decode
from prefprior.data.pictures import SUFFIXES, UNREAD, require_id, stamp_of
from prefprior.files import require_file

PADDING = 1 << 14  # bytes that are looked at behind the last member: tars are filled up to 10,240


class TarPictures:
    """Pictures in webdataset tars, read in place; ids are members' names up to the first dot (webdataset's key)."""

    def __init__(self, tars: Sequence[str | Path]) -> None:
        """Reads the headers of all tars once."""
        self._places: dict[str, tuple[Path, int, int]] = {}
        for tar in map(require_file, tars):
            try:
                with tarfile.open(tar, "r:") as file:
                    members = [m for m in file if m.isfile() and m.name.lower().endswith(SUFFIXES + UNREAD)]
                    size = tar.stat().st_size
                    _require_end(tar, file.offset)
            except (tarfile.TarError, OSError, EOFError, ValueError) as error:
                raise ValueError(
                    f"{tar} is not a complete, uncompressed tar ({error}). Copy it or make it again."
                ) from error
            for member in members:
                item, _ = base_plus_ext(member.name.removeprefix("./"))
                if item is None or item.endswith("/"):  # a hidden file
                    continue
                require_id(item, str(tar))
                if member.offset_data + member.size > size:
                    raise ValueError(f"{tar} is truncated inside {member.name}. Copy it or make it again.")
                if item in self._places:
                    raise ValueError(
                        f"{tar}: {member.name} is a second picture with the id {item!r}. Rename or remove one."
                    )
                self._places[item] = (tar, member.offset_data, member.size)
        self.ids = sorted(self._places)
        if not self.ids:
            raise ValueError(
                f"{', '.join(map(str, tars)) or 'an empty list of tars'}: contains no pictures "
                f"({', '.join(SUFFIXES)}). Is it the right tar?"
            )

    def open(self, item: str) -> Image.Image:
        """The picture in RGB."""
        return decode(self._read(item), item)

    def path(self, item: str) -> Path | None:
        """None: it has no file of its own."""
        return None

    def stamp(self, item: str) -> str:
        """Its place in the tar, and when that was changed."""
        tar, offset, size = self._places[item]
        return f"{tar.resolve()} {offset} {size} {stamp_of(tar)}"

    def digest(self, item: str) -> str:
        """SHA-256 of the member."""
        return hashlib.sha256(self._read(item)).hexdigest()

    def _read(self, item: str) -> bytes:
        if item not in self._places:
            raise BadPictureError("missing")
        tar, offset, size = self._places[item]
        with open(tar, "rb") as file:
            file.seek(offset)
            return file.read(size)


def _require_end(tar: Path, offset: int) -> None:
    """Refuses a tar that does not end where reading stopped: a broken header ends the reading without a word."""
    with open(tar, "rb") as file:
        file.seek(offset)
        rest = file.read(PADDING)
    if len(rest) < tarfile.BLOCKSIZE or any(rest):
        why = "the end marker is missing" if not rest else "what follows is not a tar member"
        raise ValueError(f"at byte {offset:,} of {tar.stat().st_size:,} {why}")
