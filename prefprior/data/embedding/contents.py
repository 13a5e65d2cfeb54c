"""Which picture each row of a table was embedded from: known by its content, not by its name.

A digest says what a picture is. Reading all pictures to compare them would take long, so the stamp of each file is kept
in a file beside the digests: where that is the same, so is the picture.
Shapes: N pictures.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from prefprior.data.embedding.manifest import again
from prefprior.data.npy import save_array
from prefprior.data.pictures import Pictures

CONTENT = np.dtype([("digest", "S32"), ("stamp", "<u8")])  # a stamp of 0 tells nothing
Content = tuple[bytes, int]


def content_of(pictures: Pictures, item: str) -> Content:
    """Digest and stamp of a picture. The stamp is taken first: what changes in between shows later."""
    stamp = _stamp(pictures, item)
    return _digest(pictures, item), stamp


def other_pictures(pictures: Pictures, items: Sequence[str], contents_N: np.ndarray) -> list[str]:
    """Which of the pictures are not those that the rows (one for each, in order) were made of."""
    return [
        item
        for item, (digest, stamp) in zip(items, contents_N.tolist(), strict=True)
        if not (stamp and stamp == _stamp(pictures, item)) and digest != _digest(pictures, item)
    ]


def write_contents(path: Path, contents_N: np.ndarray) -> set[Path]:
    """Stores digests, and beside them the stamps; returns both files."""
    for target, field in ((path, "digest"), (_stamps(path), "stamp")):
        save_array(target, contents_N[field])
    return {path, _stamps(path)}


def read_contents(path: Path, count: int) -> np.ndarray:
    """What was stored, (N,) of `CONTENT`."""
    digest_N = _loaded(path)
    if digest_N is None or digest_N.dtype != CONTENT["digest"] or digest_N.shape != (count,):
        found = "no .npy file" if digest_N is None else f"{digest_N.dtype} of shape {digest_N.shape}"
        raise ValueError(f"{path} is {found}, not a table with one digest per row. {again(path.parent)}")
    contents_N = np.zeros(count, dtype=CONTENT)
    contents_N["digest"] = digest_N
    # Stamps are of one machine, and only spare reading: without them all pictures are read.
    stamp_N = _loaded(_stamps(path))
    if stamp_N is not None and stamp_N.dtype == CONTENT["stamp"] and stamp_N.shape == (count,):
        contents_N["stamp"] = stamp_N
    return contents_N


def _stamps(path: Path) -> Path:
    return path.with_name(path.name.replace("contents", "stamps"))


def _loaded(path: Path) -> np.ndarray | None:
    if not path.is_file():
        return None
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (ValueError, OSError, EOFError):
        return None


def _stamp(pictures: Pictures, item: str) -> int:
    text = pictures.stamp(item)
    if not text:
        return 0
    hashed = hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8)
    return int.from_bytes(hashed.digest(), "little")


def _digest(pictures: Pictures, item: str) -> bytes:
    return pictures.digest(item).encode()[:32]
