"""From embeddings to pictures, as they are kept and sent. For the decoding worker's thread only.

Shapes: n pictures, D dimension.
"""

from io import BytesIO

from PIL.Image import Image
from torch import Tensor

from prefprior.decoders.decoder import Decoder
from prefprior.decoders.safety import Safety, blurred_card
from prefprior.seeding import generator_of


class Painter:
    """A decoder and a filter of what it makes."""

    def __init__(self, *, decoder: Decoder, safety: Safety) -> None:
        self.decoder, self.safety = decoder, safety

    def paint(self, raw_nD: Tensor, seed: int) -> tuple[bytes, ...]:
        """PNG of each embedding; what is withheld is a blurred card."""
        pictures = self.decoder.decode(
            raw_nD, negative_BD=None, prompt=None,
            generators=[generator_of("picture", seed, place) for place in range(len(raw_nD))],
        )  # fmt: skip
        flagged = self.safety.flagged(pictures)
        shown = [blurred_card(each) if bad else each for each, bad in zip(pictures, flagged, strict=True)]
        return tuple(png(each) for each in shown)


def png(picture: Image) -> bytes:
    """A picture in a file's format."""
    out = BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()
