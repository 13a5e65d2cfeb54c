"""Pictures in webdataset tars."""

import hashlib
import tarfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from webdataset.tariterators import base_plus_ext

from prefprior.data.decoding import BadPictureError, decode
from prefprior.data.pictures import SUFFIXES, require_id
from prefprior.files import require_file


class TarPictures:
    """Pictures in webdataset tars, read in place; ids are members' names up to the first dot (webdataset's key)."""

    def __init__(self, tars: Sequence[str | Path]) -> None:
        """Reads the headers of all tars once."""
        self._places: dict[str, tuple[Path, int, int]] = {}
        for tar in map(require_file, tars):
            try:
                with tarfile.open(tar, "r:") as file:
                    members = [m for m in file if m.isfile() and m.name.lower().endswith(SUFFIXES)]
                    size = tar.stat().st_size
            except (tarfile.TarError, OSError, EOFError, ValueError) as error:
                raise ValueError(f"{tar} is not a whole, uncompressed tar ({error}). Copy or make it again.") from error
            for member in members:
                item, _ = base_plus_ext(member.name.removeprefix("./"))
                if item is None or item.endswith("/"):  # a hidden file
                    continue
                require_id(item, str(tar))
                if member.offset_data + member.size > size:
                    raise ValueError(f"{tar} is cut short inside {member.name}. Copy or make it again.")
                if item in self._places:
                    raise ValueError(
                        f"{tar}: {member.name} is a second picture of the id {item!r}. Ids must be unique."
                    )
                self._places[item] = (tar, member.offset_data, member.size)
        self.ids = sorted(self._places)
        if not self.ids:
            raise ValueError(f"no pictures in {', '.join(map(str, tars)) or 'an empty list of tars'}")

    def open(self, item: str) -> Image.Image:
        """The picture in RGB."""
        return decode(self._read(item), item)

    def path(self, item: str) -> Path | None:
        """None: it has no file of its own."""
        return None

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
