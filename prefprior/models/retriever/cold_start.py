"""Cold start: items that nobody rated in training, and where they rank among those that somebody did.

Shapes: B users, I user tokens, K history, N items, W token width, D dimension; `...` any leading shape.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import normalize

from prefprior.history import History, PreferenceBatch, hide_seen
from prefprior.models.known_items import KnownItems
from prefprior.models.preparation import TrainingData
from prefprior.models.retriever.negatives import Candidates
from prefprior.models.retriever.retriever import Blended, CatalogueParts, Retriever


class ColdStart(Retriever):
    """A retriever whose ranking gives items that were never rated a share of probability.

    Together they get the probability `share` that a user's next item is one of them. Within it two experts on what
    nobody has rated are multiplied (Hinton 2002, doi:10.1162/089976602760128018): what the retriever makes of their
    embeddings, and a softmax over their cosine to the user's likes, times `sharpness`. Where one says little, as the
    retriever does that learned what each item is and not what it looks like, the other decides. Rated items keep their
    score, which the softmax loss trained to be a log-probability up to a constant.
    """

    def __init__(self, *, retriever: Retriever, share: float | None = None, sharpness: float = 50.0) -> None:
        super().__init__()
        if not sharpness > 0:
            raise ValueError(f"retriever.sharpness must be above 0, got {sharpness}")
        if not retriever.loss.softmax_weight:
            raise ValueError(
                "the share of cold-start items needs scores that were trained with a softmax. Give the "
                "retriever's loss.softmax_weight a value above 0, or leave ColdStart out."
            )
        self.retriever = retriever
        self.sharpness = sharpness
        self.share = share
        self.known = KnownItems()
        self.loss = retriever.loss
        self.shares_encoder = retriever.shares_encoder
        self.conditions_generator = retriever.conditions_generator

    @property
    def share(self) -> float | None:
        """The probability that a user's next item was never rated in training; 0 ranks all items alike. None: their
        part of a user's candidates, as if a new item were as probable as the average one."""
        return self._share

    @share.setter
    def share(self, share: float | None) -> None:
        if share is not None and not 0 <= share < 1:
            raise ValueError(f"the share of cold-start items must be at least 0 and below 1, got {share}")
        self._share = share

    def prepare(self, data: TrainingData) -> None:
        """Learns which items were rated in training."""
        self.retriever.prepare(data)
        self.known.learn(data.catalogue.embeddings_ND, torch.as_tensor(data.item_counts()) > 0)

    def require_readouts(self, count: int) -> None:
        """As the wrapped retriever's."""
        self.retriever.require_readouts(count)

    def user_tokens(self, history: History) -> Tensor | None:
        """As the wrapped retriever's."""
        return self.retriever.user_tokens(history)

    def score(self, tokens_BIW: Tensor, raw: Tensor) -> Tensor:
        """As the wrapped retriever's: what is generated is always new, and is compared with real items."""
        return self.retriever.score(tokens_BIW, raw)

    def losses(
        self, tokens_BIW: Tensor, candidates: Candidates, batch: PreferenceBatch
    ) -> tuple[dict[str, Tensor], Tensor]:
        """As the wrapped retriever's."""
        return self.retriever.losses(tokens_BIW, candidates, batch)

    def rank(
        self, tokens_BIW: Tensor, history: History, parts: CatalogueParts, blended: Blended | None = None
    ) -> Iterator[Tensor]:
        """Scores of a catalogue, which is passed over twice: what there is to share is known at its end."""
        if self.share == 0:
            yield from self.retriever.rank(tokens_BIW, history, parts, blended)
            return
        placement = Placement(self.known, history, share=self.share, sharpness=self.sharpness)
        for start, raw_ND in parts():
            scores_BN = self.blended_score(tokens_BIW, raw_ND, blended)
            placement.see(hide_seen(scores_BN, history, start), raw_ND)
        for _, raw_ND in parts():
            yield placement.ranked(self.blended_score(tokens_BIW, raw_ND, blended), raw_ND)


class Placement:
    """Scores of cold-start items among those of rated ones. `see` comes first, for every part of the catalogue."""

    def __init__(self, known: KnownItems, history: History, *, share: float | None, sharpness: float) -> None:
        self.known = known
        self.odds = None if share is None else math.log(share / (1 - share))
        liked_BK = history.liked_BK[..., None]
        units_BKD = torch.where(liked_BK, normalize(history.embeddings_BKD.float(), dim=-1), 0)
        # Without a like, the retriever decides alone.
        self.query_BD = sharpness * units_BKD.sum(1) / liked_BK.sum(1).clamp(min=1)
        self.rated_B = self.query_BD.new_full((len(history),), -torch.inf)
        self.new_B = self.rated_B
        self.counts_2B = self.query_BD.new_zeros(2, len(history))  # candidates: rated in training, and new

    def see(self, scores_BN: Tensor, raw_ND: Tensor) -> None:
        """Adds a part of the catalogue to both normalisers; items that are not candidates have a score of -inf."""
        known_N = self.known(raw_ND)
        possible_BN = scores_BN > -torch.inf
        self.counts_2B += torch.stack([(possible_BN & known_N).sum(1), (possible_BN & ~known_N).sum(1)])
        self.rated_B = torch.logaddexp(self.rated_B, scores_BN[:, known_N].logsumexp(1))
        self.new_B = torch.logaddexp(self.new_B, self._expected(scores_BN, raw_ND, ~known_N).logsumexp(1))

    def ranked(self, scores_BN: Tensor, raw_ND: Tensor) -> Tensor:
        """The scores, with those of new items in their place; without any rated item there is nothing to place by."""
        known_N = self.known(raw_ND)
        odds_B = self.counts_2B[1].log() - self.counts_2B[0].log() if self.odds is None else self.odds
        placed_BN = self._expected(scores_BN, raw_ND, ~known_N) + (odds_B + self.rated_B - self.new_B)[:, None]
        ranked_BN = scores_BN.clone()
        ranked_BN[:, ~known_N] = torch.where(placed_BN.isfinite(), placed_BN, scores_BN[:, ~known_N])
        return ranked_BN

    def _expected(self, scores_BN: Tensor, raw_ND: Tensor, new_N: Tensor) -> Tensor:
        return scores_BN[:, new_N] + self.query_BD @ normalize(raw_ND[new_N], dim=-1).T
