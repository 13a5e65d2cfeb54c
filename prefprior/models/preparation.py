"""What components may learn from the training part before training begins: each has `prepare(data)`, called once.

What they learned is in the checkpoint; neither the training command nor a base class knows which component needs what.
"""

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

import numpy as np

from prefprior.data.histories.sequences import Sequences
from prefprior.data.scaling import PersonScale
from prefprior.predictor import Catalogue


class TrainingData(Protocol):
    """What a component may ask of the data."""

    @property
    def catalogue(self) -> Catalogue:
        """All items, with their embeddings."""

    @property
    def has_choices(self) -> bool:
        """Whether anybody in the training part chose among several items."""

    @property
    def scale(self) -> PersonScale:
        """How ratings of different users compare."""

    def training_sequences(self, most: int) -> Sequences:
        """The users of the training part with their ratings, or so many users at random that there are at most `most`
        ratings."""

    def item_counts(self) -> np.ndarray:
        """(I,) how often each row of the catalogue was rated in training."""

    def users(self, name: str) -> list[str]:
        """The users of a part."""

    def use_texts(self) -> None:
        """Batches hold the texts of their targets from now on."""


@runtime_checkable
class Prepared(Protocol):
    """A component that learns something from the training part before training begins."""

    def prepare(self, data: TrainingData) -> None:
        """Called once, before training."""


def prepare_all(components: Iterable[object], data: TrainingData) -> None:
    """Prepares every component that has something to learn, each once."""
    done: set[int] = set()
    for component in components:
        if isinstance(component, Prepared) and id(component) not in done:
            done.add(id(component))
            component.prepare(data)
