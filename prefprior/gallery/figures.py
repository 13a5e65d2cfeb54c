"""What is measured of made pictures: score, likeness, nearest real pictures and, where taste is known, utility."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image

from prefprior.data.pictures import Pictures
from prefprior.decoders.retrieval import nearest_rows
from prefprior.gallery.embeddings import ALONG, UserEmbeddings
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
        kept: Callable[[torch.Tensor], np.ndarray] | None = None,
    ) -> None:
        """`encode` embeds decoded pictures again, to measure the decoder; `kept` says of edits which share of the
        original's factors they keep, where factors are known."""
        self.space, self.real, self.nearest, self.truth, self.encode = space, real, nearest, truth, encode
        self.kept = kept

    def rows(self, user: str, embeddings: UserEmbeddings, pictures: list[Image.Image]) -> list[Row]:
        """The figures of each picture; the nearest real ones by id."""
        decoded_nD = None if self.encode is None else self.encode(pictures)
        columns: dict[str, Any] = {"score": embeddings.score_n, "likeness": embeddings.likeness_n}
        if embeddings.better_than_n is not None:
            columns["better_than"] = embeddings.better_than_n
        columns |= embeddings.columns
        if self.truth is not None:
            columns["utility"] = self.truth.scaled_utility(user, embeddings.raw_nD)
            if decoded_nD is not None:
                columns["utility_decoded"] = self.truth.scaled_utility(user, decoded_nD)
        if decoded_nD is not None:
            unit_nD, decoded_unit_nD = self.space.directions(embeddings.raw_nD), self.space.directions(decoded_nD)
            columns["decoded_cosine"] = (unit_nD * decoded_unit_nD).sum(-1)
        if self.kept is not None:
            columns["factors_kept"] = self.kept(embeddings.raw_nD if decoded_nD is None else decoded_nD)
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
    """Means over a user's pictures; of an edit also what it was before and after."""
    first, last = rows[0], rows[-1]
    averaged = {key: key for key in AVERAGED} | {key: metric_name(key) for key in first if key.startswith(ALONG)}
    means = {name: rounded(np.mean([row[key] for row in rows])) for key, name in averaged.items() if key in first}
    if "cosine_to_original" not in first:
        return {"diversity": rounded(diversity), **means}
    compared = {
        key: name for key, name in averaged.items() if key in first and key not in ("likeness", "decoded_cosine")
    }
    before = {f"{name}_before": first[key] for key, name in compared.items()}
    after = {f"{name}_after": last[key] for key, name in compared.items()}
    kept: dict[str, float] = {key: last[key] for key in ("cosine_to_original", "factors_kept") if key in last}
    return {"diversity": rounded(diversity), **means, **before, **after, **kept}


def metric_name(key: str) -> str:
    """A figure's name as metrics have it, without slashes and blanks."""
    return re.sub(r"[^\w|.-]+", "_", key)


def rounded(value: Any) -> float:
    """A figure with as many digits as mean anything."""
    return round(float(value), 5)
