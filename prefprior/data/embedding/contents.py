"""Which picture each row of a table was embedded from: known by its content, not by its name.

A digest says what a picture is. Reading all pictures to compare them would take long, so the stamp of each file is kept
beside it: where that is the same, so is the file.
Shapes: N pictures.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

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


def _stamp(pictures: Pictures, item: str) -> int:
    text = pictures.stamp(item)
    if not text:
        return 0
    hashed = hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8)
    return int.from_bytes(hashed.digest(), "little")


def _digest(pictures: Pictures, item: str) -> bytes:
    return pictures.digest(item).encode()[:32]
