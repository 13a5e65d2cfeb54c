"""A decoder and a retriever of a package of one's own. Shapes: B pictures or users, D dimension."""

import torch
from PIL import Image
from torch import Tensor, nn

from prefprior.decoders.decoder import check_request
from prefprior.models.retriever.losses import ContrastiveLoss
from prefprior.models.retriever.two_tower import TwoTower
from prefprior.models.scale import Standardize
from prefprior.nodes import Loadable
from prefprior.space import Space


class ThumbnailDecoder(Loadable):
    """Draws an embedding of `own_encoder.py`'s space. `Loadable`, so that a gallery's manifest may name it."""

    space_name = "thumbnail-8"
    takes_negative = False
    takes_prompt = False

    def __init__(self, *, size: int = 64) -> None:
        if size < 8:
            raise ValueError(f"size must be at least 8 pixels, got {size}")
        self.size = size
        self.identity = f"thumbnails of {size} pixels"

    def to(self, device: torch.device | str) -> None:
        """There are no weights."""

    def decode(
        self,
        embeddings_BD: Tensor,
        *,
        negative_BD: Tensor | None,
        prompt: str | None,
        generators: list[torch.Generator],
    ) -> list[Image.Image]:
        """The 8 x 8 pixels, enlarged."""
        check_request(self, embeddings_BD, negative_BD, prompt, generators)
        pixels = ((embeddings_BD.clamp(-1, 1) + 1) * 127.5).round().byte().reshape(-1, 8, 8, 3).cpu().numpy()
        return [Image.fromarray(picture).resize((self.size, self.size), Image.Resampling.NEAREST) for picture in pixels]


class LowRankTwoTower(TwoTower):
    """The default retriever with a linear item tower of low rank: fewer weights, for small catalogues."""

    def __init__(
        self,
        *,
        space: Space,
        scale: Standardize,
        token_width: int,
        dim: int = 64,
        rank: int = 8,
        loss: ContrastiveLoss | None = None,
    ) -> None:
        super().__init__(space=space, scale=scale, token_width=token_width, dim=dim, loss=loss)
        self.item_tower = nn.Sequential(nn.Linear(space.dim, rank, bias=False), nn.Linear(rank, dim))
