"""Retrieval: the nearest real picture of a catalogue, for spaces without a decoder and for a look without weights.

Shapes: B pictures, N catalogue, D dimension.
"""

from collections.abc import Set

import torch
from PIL import Image
from torch import Tensor

from prefprior.data.pictures import Pictures
from prefprior.decoders.decoder import check_request
from prefprior.nodes import Loadable
from prefprior.predictor import Catalogue


class Retrieval(Loadable):
    """Looks an embedding up among real pictures, by cosine in standardised coordinates."""

    takes_negative = False
    takes_prompt = False

    def __init__(self, *, catalogue: Catalogue, pictures: Pictures) -> None:
        self.catalogue, self.pictures = catalogue, pictures
        self.space_name = catalogue.space.name
        self.identity = f"nearest of {len(catalogue)} pictures in {self.space_name}"
        self.hidden: Set[str] = frozenset()  # items that are not shown

    def to(self, device: torch.device | str) -> None:
        """Nothing to move: the catalogue may be larger than a device."""

    def decode(
        self,
        embeddings_BD: Tensor,
        *,
        negative_BD: Tensor | None,
        prompt: str | None,
        generators: list[torch.Generator],
    ) -> list[Image.Image]:
        """The nearest real picture of each embedding."""
        check_request(self, embeddings_BD, negative_BD, prompt, generators)
        rows, _ = nearest_rows(self.catalogue, embeddings_BD, count=1 + len(self.hidden))
        ids = self.catalogue.ids
        nearest = (next((ids[row] for row in near if ids[row] not in self.hidden), None) for near in rows.tolist())
        return [
            Image.new("RGB", (1, 1)) if item is None else self.pictures.open(item).convert("RGB") for item in nearest
        ]


def nearest_rows(catalogue: Catalogue, embeddings_BD: Tensor, count: int, chunk: int = 65536) -> tuple[Tensor, Tensor]:
    """Rows (B, count) of the nearest real pictures and their cosines; the catalogue is read in chunks."""
    count = min(count, len(catalogue))
    query_BD = catalogue.space.directions(embeddings_BD.detach().cpu())
    best, rows = torch.empty(len(query_BD), 0), torch.empty(len(query_BD), 0, dtype=torch.long)
    for start in range(0, len(catalogue), chunk):
        part_ND = catalogue.space.directions(catalogue.embeddings_ND[start : start + chunk])
        cosine_BN = query_BD @ part_ND.T
        best = torch.cat([best, cosine_BN], dim=1)
        rows = torch.cat([rows, torch.arange(start, start + len(part_ND)).expand(len(query_BD), -1)], dim=1)
        best, order = best.topk(min(count, best.shape[1]), dim=1)
        rows = rows.gather(1, order)
    return rows, best
