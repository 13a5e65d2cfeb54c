"""The protocol every decoder keeps.

Shapes: B pictures, D dimension of the decoder's space.
"""

from typing import Protocol, runtime_checkable

import torch
from PIL.Image import Image
from torch import Tensor


@runtime_checkable
class Decoder(Protocol):
    """Embeddings of its own space -> pictures."""

    space_name: str  # the name of the one space it understands
    identity: str  # model id and revision, or the folder: written into manifests

    def decode(
        self,
        embeddings_BD: Tensor,
        *,
        negative_BD: Tensor | None,
        prompt: str | None,
        generators: list[torch.Generator],
    ) -> list[Image]:
        """One picture for each raw embedding; picture i depends on embedding i and generator i alone."""


def require_space(decoder: Decoder, space_name: str) -> None:
    """Refuses embeddings of a foreign space, naming both."""
    if decoder.space_name != space_name:
        raise ValueError(
            f"the decoder {decoder.identity} understands embeddings of {decoder.space_name}, but these are of "
            f"{space_name}. Choose a decoder of that space, or train a prior on {decoder.space_name} embeddings."
        )
