"""The protocol every predictor keeps: the prior and each baseline alike.

Shapes: B users, K history, N catalogue, n samples, D dimension.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from prefprior.history import History
from prefprior.ratings import RatingsTable
from prefprior.space import Space

# What items are ranked by: how probable it is that a user comes to them, how the user would rate them, or how probable
# it is that both happen: the user comes to them and likes them.
By = Literal["interaction", "rating", "both"]
ROWS_AT_ONCE = 65536  # a catalogue may be memory-mapped and far larger than memory


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The items a predictor may rank, as raw projections of one space; `ids` name the rows."""

    space: Space
    ids: list[str]
    embeddings_ND: Tensor  # float32 or float16, possibly memory-mapped

    def __len__(self) -> int:
        return len(self.ids)

    def digest(self) -> str:
        """SHA-256 of ids and embeddings: what tells a catalogue from any other, wherever it lies."""
        told = hashlib.sha256(json.dumps([self.space.name, self.ids]).encode())
        for part in self.embeddings_ND.split(ROWS_AT_ONCE):
            told.update(part.numpy().tobytes())
        return told.hexdigest()


@dataclass(frozen=True, eq=False)
class TrainingPart:
    """What a baseline may be fit on: the training ratings, whose `item_N` index the catalogue's rows."""

    ratings: RatingsTable
    catalogue: Catalogue


@runtime_checkable
class Predictor(Protocol):
    """Anything that, given histories, can make embeddings and rank a catalogue."""

    name: str

    @property
    def two_scores(self) -> bool:
        """Whether `rank` tells interaction from rating; otherwise one score stands for all of `By`."""

    def fit(self, training: TrainingPart, validation: TrainingPart | None, generator: torch.Generator) -> None:
        """Learns from the training part (the trained prior does nothing here)."""

    def sample(self, history: History, n: int, generator: torch.Generator) -> Tensor:
        """(B, n, D) raw embeddings of pictures each user would like."""

    def rank(self, history: History, catalogue: Catalogue, by: By = "interaction") -> Tensor:
        """(B, N) scores of a whole catalogue, higher is better; callers chunk over users.

        A history's items are rows of that catalogue, or -1.
        """
