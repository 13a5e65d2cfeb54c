"""From embeddings to pictures, as they are kept and sent. For the decoding worker's thread only.

Shapes: n pictures, D dimension.
"""

from collections.abc import Sequence
from io import BytesIO

from PIL import Image
from torch import Tensor

from prefprior.data.decoding import BadPictureError
from prefprior.decoders.decoder import Decoder
from prefprior.decoders.safety import Safety, blurred_card
from prefprior.seeding import generator_of

BLANK = 256  # pixels of the card in the place of a picture that cannot be read


class Painter:
    """A decoder and a filter of what it makes."""

    def __init__(self, *, decoder: Decoder, safety: Safety) -> None:
        self.decoder, self.safety = decoder, safety

    def paint(self, raw_nD: Tensor, seed: int) -> tuple[bytes, ...]:
        """PNG of each embedding; what is withheld is a blurred card."""
        pictures = self._decoded(raw_nD, seed)
        flagged = self.safety.flagged(pictures)
        shown = [blurred_card(each) if bad else each for each, bad in zip(pictures, flagged, strict=True)]
        return tuple(png(each) for each in shown)

    def _decoded(self, raw_nD: Tensor, seed: int) -> list[Image.Image]:
        try:
            return self._decode(raw_nD, range(len(raw_nD)), seed)
        except BadPictureError:  # a decoder that shows real pictures, one of which cannot be read
            return [self._decoded_or_blank(raw_nD, place, seed) for place in range(len(raw_nD))]

    def _decoded_or_blank(self, raw_nD: Tensor, place: int, seed: int) -> Image.Image:
        try:
            return self._decode(raw_nD, [place], seed)[0]
        except BadPictureError:
            return Image.new("RGB", (BLANK, BLANK), "grey")

    def _decode(self, raw_nD: Tensor, places: Sequence[int], seed: int) -> list[Image.Image]:
        generators = [generator_of("picture", seed, place) for place in places]
        return self.decoder.decode(raw_nD[list(places)], negative_BD=None, prompt=None, generators=generators)


def png(picture: Image.Image) -> bytes:
    """A picture in a file's format."""
    out = BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()
