"""Pictures by id, wherever they lie: a folder or memory (`tar_pictures` has those in tars)."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from PIL import Image

from prefprior.data.columns.ids import fault, shown
from prefprior.data.decoding import BadPictureError, decode, is_regular

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
# What phones store and Pillow does not read: set aside with the reason rather than passed over.
UNREAD = (".heic", ".heif")


@runtime_checkable
class Pictures(Protocol):
    """Pictures by id."""

    ids: list[str]

    def open(self, item: str) -> Image.Image:
        """The picture in RGB, or `BadPictureError` with the reason."""

    def path(self, item: str) -> Path | None:
        """Its file, where it has one of its own."""

    def stamp(self, item: str) -> str:
        """What changes with its file and is known without reading it; empty where only the content tells."""

    def digest(self, item: str) -> str:
        """A hash of its content: equal for identical pictures."""


class FolderPictures:
    """Pictures in a folder; ids are paths below it, with or without their suffix."""

    def __init__(
        self,
        folder: str | Path,
        *,
        ids: Iterable[str] | None = None,
        files: dict[str, str] | None = None,
        suffix: bool = True,
    ) -> None:
        """`ids` are the paths of the pictures that are offered, in this order; `files` gives a path to each id; without
        either all pictures are, and `suffix` False takes ".jpg" and the like off their ids."""
        self.folder = Path(folder)
        if not self.folder.is_dir():
            found = "it is a file" if self.folder.exists() else "it does not exist"
            raise ValueError(
                f"cannot use the folder of pictures {self.folder}: {found}. Give a folder or an uncompressed "
                f".tar; relative paths start at {Path.cwd()}"
            )
        self.suffix, self._root = suffix, self.folder.resolve()
        if ids is not None:
            files = {item: item for item in ids}
        if files is None:
            self._files = self._listing()
            self.ids = sorted(self._files)
            if not self.ids:
                raise ValueError(f"{self.folder} contains no pictures ({', '.join(SUFFIXES)})")
        else:
            for path in files.values():
                _require_below(path, self.folder)
            self._files = files
            self.ids = list(files)

    def _listing(self) -> dict[str, str]:
        files: dict[str, str] = {}
        seen: set[tuple[int, int]] = set()  # folders: links may lead back to where they are
        for root, folders, names in os.walk(self.folder, followlinks=True, onerror=_refuse_folder):
            state = os.stat(root)
            if (state.st_dev, state.st_ino) in seen:
                folders.clear()
                continue
            seen.add((state.st_dev, state.st_ino))
            folders.sort()
            for name in sorted(names):
                if name.lower().endswith(SUFFIXES + UNREAD) and not name.startswith("."):
                    relative = (Path(root) / name).relative_to(self.folder)
                    item = relative.as_posix() if self.suffix else relative.with_suffix("").as_posix()
                    require_id(item, str(self.folder))
                    if item in files:
                        raise ValueError(
                            f"{self.folder / files[item]} and {self.folder / relative} have the same picture id "
                            f"{item!r}. Rename one, or use ids with suffixes."
                        )
                    files[item] = relative.as_posix()
        return files

    def open(self, item: str) -> Image.Image:
        """The picture in RGB."""
        path = self.path(item)
        if path is None:
            raise BadPictureError("missing")
        return decode(path, str(path))

    def path(self, item: str) -> Path | None:
        """Its file."""
        name = self._files.get(item)
        return None if name is None else self.folder / name

    def stamp(self, item: str) -> str:
        """Where it is, its size and when it was changed."""
        path = self.path(item)
        return "" if path is None else f"{self._root}/{path.relative_to(self.folder)} {stamp_of(path)}"

    def digest(self, item: str) -> str:
        """SHA-256 of the file; a missing one, or one that cannot be read, is no duplicate."""
        path = self.path(item)
        if path is None or not is_regular(path):
            return f"missing {item}"
        try:
            with open(path, "rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return f"missing {item}"


class BytesPictures:
    """Encoded pictures (JPEG, PNG, ...) in memory."""

    def __init__(self, data: dict[str, bytes]) -> None:
        self._data = data
        self.ids = list(data)

    def open(self, item: str) -> Image.Image:
        """The picture in RGB."""
        return decode(self._data[item], item)

    def path(self, item: str) -> Path | None:
        """None: it is in memory."""
        return None

    def stamp(self, item: str) -> str:
        """None: it is in memory."""
        return ""

    def digest(self, item: str) -> str:
        """SHA-256 of the bytes."""
        return hashlib.sha256(self._data[item]).hexdigest()


class ArrayPictures:
    """Pixels in memory, (N, H, W, 3) uint8."""

    def __init__(self, ids: Sequence[str], pixels_NHWC: np.ndarray) -> None:
        if pixels_NHWC.dtype != np.uint8 or pixels_NHWC.ndim != 4 or pixels_NHWC.shape[3] != 3:
            raise ValueError(f"pixels must be (N, H, W, 3) uint8, got {pixels_NHWC.dtype} {pixels_NHWC.shape}")
        if len(ids) != len(pixels_NHWC):
            raise ValueError(f"{len(ids)} ids for {len(pixels_NHWC)} pictures")
        self.ids = list(ids)
        self._pixels = pixels_NHWC
        self._row = {item: row for row, item in enumerate(self.ids)}

    def open(self, item: str) -> Image.Image:
        """The picture."""
        return Image.fromarray(self._pixels[self._row[item]])

    def path(self, item: str) -> Path | None:
        """None: it is in memory."""
        return None

    def stamp(self, item: str) -> str:
        """None: it is in memory."""
        return ""

    def digest(self, item: str) -> str:
        """SHA-256 of the pixels."""
        return hashlib.sha256(self._pixels[self._row[item]].tobytes()).hexdigest()


def require_id(item: str, where: str) -> None:
    """Refuses a picture whose name cannot be an id."""
    if reason := fault(item):
        raise ValueError(
            f"{where}: the name {shown(item)} of a picture cannot be an id: {reason}. Rename it (convmv renames many)."
        )


def stamp_of(path: Path) -> str:
    """A file's size and when it and its entry were changed; empty where there is none."""
    try:
        state = os.stat(path)
    except (OSError, ValueError):  # the latter: a NUL in the name
        return ""
    return f"{state.st_size} {state.st_mtime_ns} {state.st_ctime_ns}"


def _refuse_folder(error: OSError) -> None:
    raise ValueError(
        f"cannot read the folder {error.filename}: {error.strerror}. Without it, its pictures would "
        "silently be missing: make it readable, or remove it."
    ) from error


def _require_below(item: str, folder: Path) -> None:
    if ".." in item.split("/") or item.startswith("/") or "\\" in item or not item:
        raise ValueError(
            f"the picture id {shown(item)} points outside the folder {folder}. Ids are relative paths without `..`."
        )
