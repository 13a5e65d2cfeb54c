"""From embeddings to pictures, as they are kept and sent. For the decoding worker's thread only.

Shapes: n pictures, D dimension.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

from PIL import Image
from torch import Tensor

from prefprior.data.decoding import BadPictureError
from prefprior.decoders.decoder import Decoder
from prefprior.decoders.retrieval import Retrieval
from prefprior.decoders.safety import Safety, blurred_card
from prefprior.seeding import generator_of

BLANK = 256  # pixels of the card in the place of a picture that cannot be read


@dataclass(frozen=True, eq=False)
class Request:
    """What is to be painted; picture i follows from embedding i, the seed and i."""

    raw_nD: Tensor
    seed: int
    negative_nD: Tensor | None = None
    prompt: str | None = None
    hidden: frozenset[str] = frozenset()  # items of the catalogue that nobody is shown


class Painter:
    """A decoder and a filter of what it makes."""

    def __init__(self, *, decoder: Decoder, safety: Safety) -> None:
        self.decoder, self.safety = decoder, safety

    def paint(self, request: Request, places: Sequence[int]) -> tuple[bytes, ...]:
        """PNG of some embeddings of a request; what is withheld is a blurred card."""
        if isinstance(self.decoder, Retrieval):
            self.decoder.hidden = request.hidden
        pictures = self._decoded(request, places)
        flagged = self.safety.flagged(pictures)
        shown = [blurred_card(each) if bad else each for each, bad in zip(pictures, flagged, strict=True)]
        return tuple(png(each) for each in shown)

    def shows(self, item: str) -> str | None:
        """SHA-256 of what a decoder that shows real pictures makes of an item; None for other decoders."""
        if not isinstance(self.decoder, Retrieval):
            return None
        try:
            return hashlib.sha256(png(self.decoder.pictures.open(item).convert("RGB"))).hexdigest()
        except BadPictureError:
            return None

    def _decoded(self, request: Request, places: Sequence[int]) -> list[Image.Image]:
        try:
            return self._decode(request, places)
        except BadPictureError:  # a decoder that shows real pictures, one of which cannot be read
            return [self._decoded_or_blank(request, place) for place in places]

    def _decoded_or_blank(self, request: Request, place: int) -> Image.Image:
        try:
            return self._decode(request, [place])[0]
        except BadPictureError:
            return Image.new("RGB", (BLANK, BLANK), "grey")

    def _decode(self, request: Request, places: Sequence[int]) -> list[Image.Image]:
        rows, negative_nD = list(places), request.negative_nD
        return self.decoder.decode(
            request.raw_nD[rows],
            negative_BD=None if negative_nD is None else negative_nD[rows],
            prompt=request.prompt if self.decoder.takes_prompt else None,
            generators=[generator_of("picture", request.seed, place) for place in rows],
        )


def png(picture: Image.Image) -> bytes:
    """A picture in a file's format."""
    out = BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()
