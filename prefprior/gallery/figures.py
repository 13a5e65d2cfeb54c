"""What is measured of made pictures: score, likeness, nearest real pictures and, where taste is known, utility."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image

from prefprior.data.pictures import Pictures
from prefprior.decoders.retrieval import nearest_rows
from prefprior.gallery.embeddings import UserEmbeddings
from prefprior.predictor import Catalogue
from prefprior.space import Space

Row = dict[str, Any]  # of one made picture, as a manifest holds it
AVERAGED = ("score", "better_than", "likeness", "utility", "utility_decoded", "decoded_cosine")


class Truth(Protocol):
    """A source that knows what its users like: only the built-in world is one."""

    def scaled_utility(self, user: str, embeddings_ND: torch.Tensor | np.ndarray) -> np.ndarray:
        """0 is a random picture for this user, 1 the best of the catalogue."""

    def taste_in_words(self, user: str) -> str:
        """One sentence."""


@dataclass(frozen=True, eq=False)
class RealPictures:
    """The data's own pictures, beside which the made ones are shown."""

    catalogue: Catalogue
    pictures: Pictures | None  # None where the files are not at hand


class Figures:
    """Measures the pictures of one user after another."""

    def __init__(
        self,
        *,
        space: Space,
        real: RealPictures | None = None,
        nearest: int = 3,
        truth: Truth | None = None,
        encode: Callable[[list[Image.Image]], torch.Tensor] | None = None,
    ) -> None:
        """`encode` embeds decoded pictures again, to measure the decoder."""
        self.space, self.real, self.nearest, self.truth, self.encode = space, real, nearest, truth, encode

    def rows(self, user: str, embeddings: UserEmbeddings, pictures: list[Image.Image]) -> list[Row]:
        """The figures of each picture; the nearest real ones by id."""
        decoded_nD = None if self.encode is None else self.encode(pictures)
        columns: dict[str, Any] = {"score": embeddings.score_n, "likeness": embeddings.likeness_n}
        if embeddings.better_than_n is not None:
            columns["better_than"] = embeddings.better_than_n
        if self.truth is not None:
            columns["utility"] = self.truth.scaled_utility(user, embeddings.raw_nD)
            if decoded_nD is not None:
                columns["utility_decoded"] = self.truth.scaled_utility(user, decoded_nD)
        if decoded_nD is not None:
            unit_nD, decoded_unit_nD = self.space.directions(embeddings.raw_nD), self.space.directions(decoded_nD)
            columns["decoded_cosine"] = (unit_nD * decoded_unit_nD).sum(-1)
        rows: list[Row] = [{key: rounded(column[i]) for key, column in columns.items()} for i in range(len(embeddings))]
        for row, near in zip(rows, self._nearest(embeddings)):
            row["nearest"] = near
        return rows

    def taste(self, user: str) -> str:
        """What a user likes, in words, where it is known."""
        return "" if self.truth is None else self.truth.taste_in_words(user)

    def _nearest(self, embeddings: UserEmbeddings) -> list[list[Row]]:
        if self.real is None or not self.nearest:
            return []
        ids = self.real.catalogue.ids
        places_nk, cosines_nk = nearest_rows(self.real.catalogue, embeddings.raw_nD, self.nearest)
        return [
            [{"item": ids[place], "cosine": rounded(cosine)} for place, cosine in zip(places, cosines)]
            for places, cosines in zip(places_nk.tolist(), cosines_nk.tolist())
        ]


def summary(rows: list[Row], diversity: float) -> dict[str, float]:
    """Means over a user's pictures."""
    means = {key: rounded(np.mean([row[key] for row in rows])) for key in AVERAGED if key in rows[0]}
    return {"diversity": rounded(diversity), **means}


def rounded(value: Any) -> float:
    """A figure with as many digits as mean anything."""
    return round(float(value), 5)
