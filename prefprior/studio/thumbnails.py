"""The catalogue's pictures as PNG, no larger than pages need."""

from collections import OrderedDict

from anyio import CapacityLimiter, to_thread

from prefprior.data.decoding import BadPictureError
from prefprior.data.pictures import Pictures
from prefprior.studio.painter import png

BYTES_KEPT = 1 << 28
SIDE = 640  # pixels of the longer side at most: pages show them smaller


class Thumbnails:
    """Opens pictures one at a time, by a limit of its own: the database's threads must not wait for that."""

    def __init__(self, pictures: Pictures) -> None:
        self._pictures, self._kept, self._bytes = pictures, OrderedDict[str, bytes | None](), 0
        self._opening = CapacityLimiter(1)

    async def open(self, item: str) -> bytes | None:
        """None for a picture that cannot be read."""
        return await to_thread.run_sync(self._open, item, limiter=self._opening)

    def _open(self, item: str) -> bytes | None:
        if item in self._kept:
            self._kept.move_to_end(item)
            return self._kept[item]
        try:
            picture = self._pictures.open(item)
            picture.thumbnail((SIDE, SIDE))
            found = png(picture)
        except BadPictureError:
            found = None
        self._kept[item] = found
        self._bytes += len(found or b"")
        while self._bytes > BYTES_KEPT:
            self._bytes -= len(self._kept.popitem(last=False)[1] or b"")
        return found
