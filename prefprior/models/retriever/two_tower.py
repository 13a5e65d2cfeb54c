"""Two towers: user tokens and items in one learned space, and a popularity bias.

Shapes: B users, N items, I user tokens, W token width, Q tower dimension, D dimension, F item features.
"""

from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from prefprior.errors import require_between, require_choice
from prefprior.history import History, PreferenceBatch
from prefprior.models.prior.choice_features import questions
from prefprior.models.prior.history_encoder import HistoryEncoder
from prefprior.models.recorded import Recorded
from prefprior.models.retriever.losses import ContrastiveLoss
from prefprior.models.retriever.negatives import Candidates
from prefprior.models.retriever.retriever import Retriever
from prefprior.models.scale import Standardize
from prefprior.space import Space


class Towers(Retriever):
    """Score: soft maximum over a user's tokens in a learned item space, plus the popularity bias.

    The soft maximum lets an item suit one of a user's tastes whatever the others are. Popularity is a function of the
    item alone, so that what all users like and what this user likes are learned apart.
    """

    popularity_tower: nn.Module
    item_tower: nn.Module
    logit_scale: Tensor

    def __init__(self, *, token_width: int, dim: int, loss: ContrastiveLoss | None) -> None:
        super().__init__()
        require_between("retriever.dim", dim, 1, 65_536)
        self.loss = loss or ContrastiveLoss()
        self.user_head = nn.Linear(token_width, dim, bias=False)
        self.token_bias = nn.Linear(token_width, 1, bias=False)  # how much each token counts

    @abstractmethod
    def item_features(self, raw: Tensor) -> Tensor:
        """(..., F) what the item and popularity towers read."""

    def users(self, tokens_BIW: Tensor) -> tuple[Tensor, Tensor]:
        """The directions of users' tokens (B, I, Q) and how much each token counts (B, I)."""
        # A token of zeros has no direction, and the norm's bound keeps its gradient finite in half precision too.
        directions_BIQ = normalize(self.user_head(tokens_BIW).float(), dim=-1, eps=1e-3)
        return directions_BIQ, self.token_bias(tokens_BIW)[..., 0].float()

    def items(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Items' directions (..., Q) and their popularity bias (...)."""
        features = self.item_features(raw)
        directions = normalize(self.item_tower(features).float(), dim=-1)
        return directions, self.popularity_tower(features)[..., 0].float()

    def personal_score(self, tokens_BIW: Tensor, directions: Tensor) -> Tensor:
        """(B, N) the score without popularity; directions are of one catalogue (N, Q) or of own items (B, N, Q)."""
        users_BIQ, bias_BI = self.users(tokens_BIW)
        logit_scale = self.logit_scale.exp().clamp(max=100.0)  # CLIP's bound (arXiv:2103.00020)
        with torch.autocast(directions.device.type, enabled=False):  # half precision cannot rank similar items
            if users_BIQ.shape[1] == 1:  # its own maximum; scaled while it is small
                return torch.matmul(logit_scale * users_BIQ, directions.transpose(-1, -2))[:, 0] + bias_BI
            cosine_BIN = torch.matmul(users_BIQ, directions.transpose(-1, -2))
        return (logit_scale * cosine_BIN + bias_BI[..., None]).logsumexp(1)

    def score(self, tokens_BIW: Tensor, raw: Tensor) -> Tensor:
        """(B, N) how well items suit each user: of one catalogue (N, D) or of their own (B, N, D)."""
        directions, popularity = self.items(raw)
        return self.personal_score(tokens_BIW, directions) + popularity

    def losses(
        self, tokens_BIW: Tensor, candidates: Candidates, batch: PreferenceBatch
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Weighted loss terms by name, and the score of every candidate (B, N), detached."""
        directions_NQ, popularity_N = self.items(candidates.raw_ND)
        score_BN = self.personal_score(tokens_BIW, directions_NQ) + popularity_N.detach()
        return self.loss.terms(score_BN, popularity_N, candidates, batch), score_BN.detach()


class EncoderSize(Recorded):
    """How large a history encoder is."""

    def __init__(
        self, *, depth: int = 2, heads: int = 4, readouts: int = 8, ages: bool = True, dropout: float = 0.0
    ) -> None:
        for name, value in {"depth": depth, "heads": heads, "readouts": readouts}.items():
            require_between(f"retriever.own.{name}", value, 1, 1024 if name in ("depth", "heads") else 65_536)
        require_between("retriever.own.dropout", dropout, 0, 0.999)
        self.depth, self.heads, self.readouts, self.ages, self.dropout = depth, heads, readouts, ages, dropout


class TwoTower(Towers):
    """A history encoder as the user tower, an MLP over the embedding as the item tower."""

    def __init__(
        self,
        *,
        space: Space,
        scale: Standardize,
        token_width: int,
        dim: int = 64,
        encoder: str = "shared",
        own: EncoderSize | None = None,
        loss: ContrastiveLoss | None = None,
    ) -> None:
        """`encoder`: "shared" reads the generator's read-outs but the first; "own" has an encoder of its own, of the
        size `own`. `token_width` is the generator's."""
        require_choice("retriever.encoder", encoder, ("shared", "own"))
        if own is not None and encoder == "shared":
            raise ValueError("retriever.own is the size of a separate encoder: add retriever.encoder=own")
        super().__init__(token_width=token_width, dim=dim, loss=loss)
        self.scale = scale
        self.shares_encoder = encoder == "shared"
        self.item_tower = nn.Sequential(nn.Linear(space.dim, token_width), nn.SiLU(), nn.Linear(token_width, dim))
        self.popularity_tower = nn.Sequential(
            nn.Linear(space.dim, token_width), nn.SiLU(), nn.Linear(token_width, 1, bias=False)
        )
        self.logit_scale = nn.Parameter(torch.tensor(2.0))
        size = own or EncoderSize()
        self.readouts = size.readouts
        self.encoder = (
            None
            if self.shares_encoder
            else HistoryEncoder(
                scale=scale, width=token_width, depth=size.depth, heads=size.heads, readouts=size.readouts,
                dropout=size.dropout, ages=size.ages,
            )
        )  # fmt: skip

    def item_features(self, raw: Tensor) -> Tensor:
        """(..., D) the embedding in model scale."""
        return self.scale.to_model(raw)

    def require_readouts(self, count: int) -> None:
        """One read-out beside the summary is enough."""
        if self.shares_encoder and count < 2:
            raise ValueError(
                "retriever.encoder=shared needs read-outs of the generator besides the first, but this prior "
                "has none. Give prior.readouts=9, retriever.encoder=own, or retriever=none."
            )

    def user_tokens(self, history: History) -> Tensor | None:
        """(B, I, W) read-outs of its own encoder, if it has one."""
        if self.encoder is None:
            return None
        history = history.packed()
        tokens_BNW, _ = self.encoder(
            history.embeddings_BKD, history.ratings_BK, history.ages_BK, history.valid_BK, questions(history)
        )
        return tokens_BNW[:, : self.readouts]
