"""Samples after decoding: pictures are made of a few and embedded again, because a decoder may not keep its promise.

Shapes: B users, n samples, D dimension.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL.Image import Image
from torch import Tensor

from prefprior.data.embedding.encoders import Encoder
from prefprior.decoders.decoder import Decoder, require_space
from prefprior.space import Space

DECODED = "_decoded"  # ends the names of figures of pictures embedded again


@dataclass(frozen=True, eq=False)
class Decoded:
    """Pictures of a few users' samples, and where they lie."""

    pictures: list[list[Image]]  # B lists of n
    embeddings_BnD: Tensor
    drift_B: Tensor  # 1 - cosine of a sample with its own picture's embedding


class Decoding:
    """A decoder with the encoder of its space."""

    def __init__(
        self,
        *,
        decoder: Decoder,
        encoder: Encoder,
        people: int = 16,
        samples: int = 2,
        lengths: Sequence[int | None] = (None,),
        batch_size: int = 16,
    ) -> None:
        """Pictures are slow: only `samples` of each of the first `people` are made, from histories of these `lengths`
        (None: whole ones)."""
        if min(people, samples, batch_size) < 1:
            raise ValueError(
                f"people, samples and batch_size must be at least 1; got {people}, {samples}, {batch_size}"
            )
        self.lengths = tuple(lengths)
        require_space(decoder, encoder.space_name)
        self.decoder, self.encoder = decoder, encoder
        self.people, self.samples, self.batch_size = people, samples, batch_size

    def decode_and_embed(self, samples_BnD: Tensor, space: Space, seed: int) -> Decoded:
        """Pictures of the first samples and their embeddings; the picture of a sample does not depend on the others."""
        require_space(self.decoder, space.name)
        few_BnD = samples_BnD[: self.people, : self.samples]
        flat_MD, pictures = few_BnD.flatten(0, 1), []
        for start in range(0, len(flat_MD), self.batch_size):
            part = flat_MD[start : start + self.batch_size]
            generators = [torch.Generator().manual_seed(seed + start + i) for i in range(len(part))]
            pictures += self.decoder.decode(part, negative_BD=None, prompt=None, generators=generators)
        again_BnD = self.encoder.encode_images(pictures).unflatten(0, few_BnD.shape[:2])
        cosine_Bn = (space.directions(again_BnD) * space.directions(few_BnD)).sum(-1)
        n = few_BnD.shape[1]
        rows = [pictures[b * n : (b + 1) * n] for b in range(len(few_BnD))]
        return Decoded(rows, again_BnD, 1 - cosine_Bn.mean(1).double())
