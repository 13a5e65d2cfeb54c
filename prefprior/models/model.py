"""A generator with a retriever, a rating head and the lengths of pictures: what is trained and saved together."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from prefprior.history import History
from prefprior.models.lengths import Lengths
from prefprior.models.preparation import TrainingData, prepare_all
from prefprior.models.prior.network import PriorNetwork
from prefprior.models.rating.rating_head import RatingHead
from prefprior.models.recorded import from_node
from prefprior.models.retriever.retriever import Retriever
from prefprior.models.scale import Standardize
from prefprior.nodes import Find
from prefprior.space import Space


@dataclass
class EncodedUsers:
    """What both components made of B histories."""

    history: Any  # as the generator encoded it
    tokens_BIW: Tensor | None  # as the retriever reads it; None without a retriever


class PreferenceModel(nn.Module):
    """Encodes each history once for all components; none knows the others."""

    def __init__(
        self, *, prior: PriorNetwork, retriever: Retriever | None = None, rating: RatingHead | None = None
    ) -> None:
        super().__init__()
        if retriever is not None:
            retriever.require_readouts(prior.readouts)
        self.prior = prior
        self.retriever = retriever
        self.rating = rating
        self.lengths = Lengths(prior.space.dim)

    @property
    def config(self) -> dict[str, Any]:
        """The nodes that build it again, with new weights."""
        return {
            "scale": self.prior.scale.config,
            "prior": self.prior.config,
            "retriever": None if self.retriever is None else self.retriever.config,
            "rating": None if self.rating is None else self.rating.config,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], space: Space, find: Find) -> "PreferenceModel":
        """Builds what `config` describes, which may come from an untrusted file."""
        if not isinstance(config, dict):
            raise ValueError(f"model is {repr(config)[:60]}; it must be a JSON object")
        scale = from_node(config["scale"], Standardize, find, "scale", space=space)
        prior = from_node(config["prior"], PriorNetwork, find, "prior", space=space, scale=scale)
        shared = {"space": space, "scale": scale, "token_width": prior.width}
        node = config["retriever"]
        retriever = None if node is None else from_node(node, Retriever, find, "retriever", **shared)
        node = config["rating"]
        rating = None if node is None else from_node(node, RatingHead, find, "rating", space=space, scale=scale)
        return cls(prior=prior, retriever=retriever, rating=rating)

    def prepare(self, data: TrainingData) -> None:
        """Has every component learn what it must know of the training part."""
        prepare_all([self.prior.scale, self.prior, self.retriever, self.rating, self.lengths], data)

    def encode(self, history: History) -> EncodedUsers:
        """Once per user. A user tower of the retriever's own may condition the generator."""
        retriever = self.retriever
        tokens_BIW = None if retriever is None else retriever.user_tokens(history)
        conditions = retriever is not None and retriever.conditions_generator and self.prior.takes_user_tokens
        encoded = self.prior.encode_history(history, tokens_BIW if conditions else None)
        if retriever is not None and retriever.shares_encoder:
            tokens_BIW = encoded.readouts_BRW[:, 1:]  # the first read-out is the generator's summary
        return EncodedUsers(encoded, tokens_BIW)

    def encode_empty(self, like: History) -> Any:
        """The null condition of classifier-free guidance: one empty history of an unknown user."""
        return self.encode(like.empty()).history

    def networks(self) -> Iterator[nn.Module]:
        """The parts worth compiling."""
        yield from self.prior.networks()
