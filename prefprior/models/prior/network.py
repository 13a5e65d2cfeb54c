"""What objectives and samplers ask of a prior, whatever its architecture.

Shapes: B users, C conditions per user, S draws per condition, D dimension.
"""

from abc import abstractmethod
from typing import Any, Protocol, Self

from torch import Tensor, nn

from prefprior.history import History
from prefprior.models.recorded import Recorded
from prefprior.models.retriever.cold_start import KnownPictures
from prefprior.models.retriever.two_tower import Scores
from prefprior.space import Space, SpaceScale


class Encoded(Protocol):
    """Encoded histories of any architecture."""

    def __len__(self) -> int: ...

    def expand(self, count: int) -> Self: ...

    def joined(self, others: list[Any]) -> Self: ...


class Backbone(Recorded, nn.Module):
    """Three calls, each as rare as an architecture can make it."""

    space: Space
    scale: SpaceScale  # model scale: in it, objectives, samplers and `predict` work
    scores: Scores | None  # the read-outs of `rank`, where an architecture has any
    text: bool = False  # whether wishes may hold a text
    people: int = 0  # how many people may be known by their id
    pictures: int = 0  # how many pictures may be known to have been rated
    known_pictures: KnownPictures | None  # which those are
    whitened: bool = False  # whether its model scale is learned from pictures

    def learn_people(self, users: list[str]) -> None:
        """Gives each of these people a row, by which they are known from now on."""
        raise ValueError(f"{type(self).__name__} knows nobody by their id")

    def learn_pictures(self, embeddings_ID: Tensor, rated_I: Tensor) -> None:
        """Knows those pictures of a table that are marked as rated; all others are new to it from now on."""
        raise ValueError(f"{type(self).__name__} does not know which pictures were rated")

    def learn_scale(self, embeddings_ID: Tensor) -> None:
        """Whitens its model scale by these pictures."""
        raise ValueError(f"{type(self).__name__} has no whitened scale")

    @abstractmethod
    def networks(self) -> list[nn.Module]:
        """The parts worth compiling."""

    @abstractmethod
    def encode_history(self, history: History) -> Any:
        """Once per person."""

    @abstractmethod
    def null_history(self, like: History) -> Any:
        """One encoded history of nobody."""

    @abstractmethod
    def condition(
        self,
        encoded: Any,
        rating_BC: Tensor,
        rating_known_BC: Tensor | None = None,
        text_BCD: Tensor | None = None,
        text_known_BC: Tensor | None = None,
    ) -> Any:
        """Once per wish: the rating that the target should get, and what a text of the same CLIP says it should show.

        No `*_known` means that all are known; no text, that none is.
        """

    @abstractmethod
    def predict(self, noisy_BCSD: Tensor, time: Tensor, condition: Any) -> Tensor:
        """Once per step, in model scale."""
