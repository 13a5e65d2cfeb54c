"""A generator with a retriever, a collaborative and a rating head and the lengths of pictures: what is trained and
saved together."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from prefprior.history import History, PreferenceBatch
from prefprior.models.collaborative.blend import Blend
from prefprior.models.collaborative.collaborative_head import CollaborativeHead, CollaborativeScore
from prefprior.models.lengths import Lengths
from prefprior.models.preparation import TrainingData, prepare_all
from prefprior.models.prior.choice_features import ChoiceFeatures
from prefprior.models.prior.network import PriorNetwork
from prefprior.models.rating.rating_head import RatingHead
from prefprior.models.recorded import from_node
from prefprior.models.retriever.retriever import CatalogueParts, Retriever
from prefprior.models.scale import Standardize
from prefprior.nodes import Find
from prefprior.space import Space


@dataclass
class EncodedUsers:
    """What both components made of B histories."""

    history: Any  # as the generator encoded it
    tokens_BIW: Tensor | None  # as the retriever reads it; None without a retriever


@dataclass(frozen=True, eq=False)
class Interaction:
    """Scores of which items users come to: the retriever's and the collaborative head's."""

    retriever: Retriever
    tokens_BIW: Tensor
    factors: CollaborativeScore | None
    blend: Blend | None

    def retrieved(self, raw: Tensor) -> Tensor:
        """(B, N) the retriever's, of one catalogue (N, D) or of items of their own (B, N, D)."""
        return self.retriever.score(self.tokens_BIW, raw)

    def scores(self, raw: Tensor) -> Tensor:
        """(3, B, N) the retriever's score, the collaborative head's of a like, and minus its score of any rating; both
        0 without that head."""
        score_BN = self.retrieved(raw)
        if self.factors is None:
            return torch.stack([score_BN, torch.zeros_like(score_BN), torch.zeros_like(score_BN)])
        return torch.stack([score_BN, self.factors.liked(raw), -self.factors.rated(raw)])

    def rank(self, history: History, parts: CatalogueParts) -> Iterator[Tensor]:
        """Both, blended, of a catalogue part by part."""
        return self.retriever.rank(self.tokens_BIW, history, parts, None if self.factors is None else self._blended)

    def _blended(self, score_BN: Tensor, raw_ND: Tensor) -> Tensor:
        assert self.factors is not None
        assert self.blend is not None
        return self.blend(score_BN, self.factors.liked(raw_ND))


class PreferenceModel(nn.Module):
    """Encodes each history once for all components; none knows the others."""

    def __init__(
        self,
        *,
        prior: PriorNetwork,
        retriever: Retriever | None = None,
        collaborative: CollaborativeHead | None = None,
        rating: RatingHead | None = None,
    ) -> None:
        super().__init__()
        if retriever is not None:
            retriever.require_readouts(prior.readouts)
        self.prior = prior
        self.retriever = retriever
        self.collaborative = collaborative
        self.rating = rating
        self.lengths = Lengths(prior.space.dim)

    @property
    def config(self) -> dict[str, Any]:
        """The nodes that build it again, with new weights."""
        return {
            "scale": self.prior.scale.config,
            "prior": self.prior.config,
            "retriever": None if self.retriever is None else self.retriever.config,
            "collaborative": None if self.collaborative is None else self.collaborative.config,
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
        node = config["collaborative"]
        shared_head = {"space": space, "scale": scale}
        collaborative = (
            None if node is None else from_node(node, CollaborativeHead, find, "collaborative", **shared_head)
        )
        node = config["rating"]
        rating = None if node is None else from_node(node, RatingHead, find, "rating", **shared_head)
        return cls(prior=prior, retriever=retriever, collaborative=collaborative, rating=rating)

    def prepare(self, data: TrainingData) -> None:
        """Has every component learn what it must know of the training part; what reads choices is trained if it has
        any."""
        for part in self.modules():
            if isinstance(part, ChoiceFeatures):
                part.requires_grad_(data.has_choices)
        prepare_all([self.prior.scale, self.prior, self.retriever, self.collaborative, self.rating, self.lengths], data)

    def calibrate(self, batch: PreferenceBatch, generator: torch.Generator) -> None:
        """Updates the weights of retriever and heads with a batch of validation users."""
        collaborative, rating, retriever = self.collaborative, self.rating, self.retriever
        blends = collaborative is not None and collaborative.has_learned
        rates = rating is not None and rating.has_learned
        if retriever is None or not (blends or rates):
            return
        interaction = self.interaction(self.encode(batch.history), batch.history)
        if blends:
            assert collaborative is not None
            assert interaction.factors is not None
            collaborative.calibrate(batch, interaction.retrieved, interaction.factors, generator)
        if rates:
            assert rating is not None
            rating.calibrate(batch, interaction.scores(batch.target_BTD))

    def interaction(self, users: EncodedUsers, history: History) -> "Interaction":
        """Interaction scores of users; needs a retriever."""
        assert self.retriever is not None
        assert users.tokens_BIW is not None, "a retriever always has user tokens"
        head = self.collaborative if self.collaborative is not None and self.collaborative.has_learned else None
        factors = None if head is None else head.posterior(history)
        return Interaction(self.retriever, users.tokens_BIW, factors, None if head is None else head.blend)

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
