"""What objectives and solvers ask of a generator, whatever its architecture.

Shapes: B users, I user tokens, C conditions per user, S noise samples per condition, W width, D dimension.
"""

from abc import abstractmethod
from typing import Any, Protocol, Self

from torch import Tensor, nn

from prefprior.history import History
from prefprior.models.preparation import TrainingData
from prefprior.models.recorded import Recorded
from prefprior.models.scale import Standardize
from prefprior.space import Space


class Encoded(Protocol):
    """Encoded histories of any architecture."""

    def __len__(self) -> int: ...

    def expand(self, count: int) -> Self: ...

    def joined(self, others: list[Any]) -> Self: ...


class PriorNetwork(Recorded, nn.Module):
    """The generator's interface: three calls, each as rare as an architecture can make it."""

    space: Space
    scale: Standardize  # model scale: objectives, solvers and `predict` work in it
    width: int  # of tokens
    text: bool  # whether a text is one of its conditions
    user_ids: int  # how many users may be known by their id
    readouts: int = 0  # learned read-out tokens of the encoder, the first of which is the summary
    origin: str | None = None  # what was taken over from published weights
    takes_user_tokens: bool = False  # whether `encode_history` uses the tokens of a retriever's own user tower

    def prepare(self, data: TrainingData) -> None:
        """Learns what it must know of the training part, once, before training."""
        if self.text:
            data.use_texts()

    @abstractmethod
    def networks(self) -> list[nn.Module]:
        """The parts worth compiling."""

    @abstractmethod
    def encode_history(self, history: History, user_tokens_BIW: Tensor | None = None) -> Any:
        """Once per user."""

    @abstractmethod
    def condition(
        self,
        encoded: Any,
        rating_BC: Tensor,
        rating_known_BC: Tensor | None = None,
        text_BCD: Tensor | None = None,
        text_known_BC: Tensor | None = None,
    ) -> Any:
        """Once per condition: the rating that the target should get, and the embedding of a text that describes it.

        Without `*_known` all are known; without a text, none is.
        """

    @abstractmethod
    def predict(self, noisy_BCSD: Tensor, time: Tensor, condition: Any) -> Tensor:
        """Once per denoising step, in model scale."""
