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
    takes_negative: bool  # whether it can be told what to move away from
    takes_prompt: bool  # whether words can steer it

    def to(self, device: torch.device | str) -> None:
        """Moves its weights, or arranges for their offloading to that device."""

    def decode(
        self,
        embeddings_BD: Tensor,
        *,
        negative_BD: Tensor | None,
        prompt: str | None,
        generators: list[torch.Generator],
    ) -> list[Image]:
        """One picture for each raw embedding; picture i depends on embedding i and generator i alone."""


@runtime_checkable
class Repainter(Protocol):
    """A decoder that can also start from a given picture (img2img)."""

    takes_picture: bool  # whether this one can

    def repaint(
        self,
        picture: Image,
        embeddings_BD: Tensor,
        *,
        strength: float,
        negative_BD: Tensor | None,
        generators: list[torch.Generator],
    ) -> list[Image]:
        """One picture for each raw embedding, each beginning as `picture` under a share of the noise."""


def repainter(decoder: Decoder) -> Repainter | None:
    """The decoder, if it can start from a picture."""
    return decoder if isinstance(decoder, Repainter) and decoder.takes_picture else None


def require_space(decoder: Decoder, space_name: str) -> None:
    """Refuses embeddings of a foreign space, naming both."""
    if decoder.space_name != space_name:
        raise ValueError(
            f"the decoder {decoder.identity} needs embeddings of the space {decoder.space_name}, but "
            f"these are of {space_name}. Choose a decoder of that space, or train a prior on "
            f"{decoder.space_name} embeddings."
        )


def check_request(
    decoder: Decoder,
    embeddings_BD: Tensor,
    negative_BD: Tensor | None,
    prompt: str | None,
    generators: list[torch.Generator],
) -> None:
    """Refuses what a decoder was asked for and cannot do."""
    if embeddings_BD.ndim != 2 or len(generators) != len(embeddings_BD):
        raise ValueError(
            "a decoder takes one embedding and one generator per picture, got embeddings of shape "
            f"{tuple(embeddings_BD.shape)} and {len(generators)} generators"
        )
    if negative_BD is not None and not decoder.takes_negative:
        raise ValueError(f"the decoder {decoder.identity} does not support negative embeddings. Leave them out.")
    if negative_BD is not None and negative_BD.shape != embeddings_BD.shape:
        raise ValueError(
            f"negative embeddings have shape {tuple(negative_BD.shape)}, positive {tuple(embeddings_BD.shape)}"
        )
    if prompt and not decoder.takes_prompt:
        raise ValueError(
            f"the decoder {decoder.identity} does not support a prompt. Leave it out, or choose a decoder that does."
        )
