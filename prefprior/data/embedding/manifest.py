"""What a folder of embeddings says of itself: its space, its encoder, and its files with their fingerprints."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefprior.fields import Fields
from prefprior.files import read_json, require_file, write_json
from prefprior.space import Space

MANIFEST = "manifest.json"
FORMAT = 1
# A file is recognised by its size and a hash of evenly spread blocks: a terabyte cannot be read to open it.
_BLOCKS, _BLOCK = 64, 4096
REQUIRED = ("vectors", "ids")
OPTIONAL = ("contents",)  # of pictures alone


@dataclass(frozen=True, eq=False)
class TableManifest:
    """The manifest of a table, which is written last: what it names is there, or was there."""

    folder: Path
    version: int
    count: int
    dtype: str
    set_aside: int
    encoder: dict[str, Any]
    files: Mapping[str, tuple[Path, str]]  # path and fingerprint by what is in it
    space: Space

    @classmethod
    def read(cls, folder: Path) -> "TableManifest":
        """A table's manifest; anything else by that name is refused."""
        path = folder / MANIFEST
        if not path.is_file():
            raise ValueError(f"{folder} contains no embeddings: there is no {MANIFEST}. Make them with python embed.py")
        value = read_json(path, again(folder))
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise ValueError(f"{path} is not a manifest of embeddings in format {FORMAT}. {again(folder)}")
        fields = Fields(value, path, again(folder))
        files = fields.fields("files")
        kinds = [*REQUIRED, *(kind for kind in OPTIONAL if kind in files)]
        return cls(
            folder=folder,
            version=fields.whole("version"),
            count=fields.whole("count", least=1),
            dtype=fields.text("dtype"),
            set_aside=fields.whole("set_aside"),
            encoder=fields.plain("encoder"),
            files={kind: _file(folder, files.fields(kind)) for kind in kinds},
            space=Space.from_fields(fields.fields("space")),
        )

    def write(self) -> None:
        """Makes the table what readers see from now on."""
        value = {
            "format": FORMAT,
            "version": self.version,
            "count": self.count,
            "dtype": self.dtype,
            "set_aside": self.set_aside,
            "encoder": self.encoder,
            "files": {kind: {"name": path.name, "fingerprint": mark} for kind, (path, mark) in self.files.items()},
            "space": self.space.to_dict(),
        }
        write_json(self.folder / MANIFEST, value)

    def file(self, kind: str) -> Path:
        """The path of a file that is as it was when it was written."""
        path, mark = self.files[kind]
        if not path.is_file():
            raise ValueError(f"{path} is missing, but {self.folder / MANIFEST} lists it. {again(self.folder)}")
        if fingerprint(path) != mark:
            raise ValueError(f"{path} has changed since it was written. {again(self.folder)}")
        return path


def fingerprint(path: Path) -> str:
    """A hash of a file's size and of evenly spread blocks of it."""
    size = require_file(path).stat().st_size
    digest = hashlib.sha256(str(size).encode())
    starts = sorted({round(i * max(size - _BLOCK, 0) / (_BLOCKS - 1)) for i in range(_BLOCKS)})
    with open(path, "rb") as file:
        for start in starts:
            file.seek(start)
            digest.update(file.read(_BLOCK))
    return digest.hexdigest()[:32]


def again(folder: Path) -> str:
    """What to do about a folder that is not whole."""
    return f"Delete {folder} and run the same python embed.py command again."


def _file(folder: Path, fields: Fields) -> tuple[Path, str]:
    return folder / fields.file_name("name"), fields.digest("fingerprint", 32)
