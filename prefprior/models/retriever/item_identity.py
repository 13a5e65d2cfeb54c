"""A retriever for catalogues of which many users rate the same items: it knows single items, not only their looks.

Shapes: B users, I user tokens, W token width, F item features, D dimension.
"""

import torch
from einops import rearrange
from torch import Tensor, nn

from prefprior.errors import require_between
from prefprior.history import History
from prefprior.models.retriever.item_features import ItemFeatures
from prefprior.models.retriever.losses import ContrastiveLoss
from prefprior.models.retriever.two_tower import Towers
from prefprior.models.scale import Standardize
from prefprior.space import Space


class ItemIdentity(Towers):
    """User tower: a linear map of the rating-weighted mean of item-identity features over the history.

    Attention over the history in its place memorised users. Order, ages and user ids therefore do not reach the score,
    and for an empty history it is the popularity bias alone. The user tokens also condition the generator.
    """

    shares_encoder = False
    conditions_generator = True

    def __init__(
        self,
        *,
        space: Space,
        scale: Standardize,
        token_width: int,
        dim: int = 64,
        tokens: int = 1,
        frequencies: int = 512,
        bandwidth: float = 1.0,
        dropout: float = 0.0,
        loss: ContrastiveLoss | None = None,
    ) -> None:
        """`tokens` describe a user; `frequencies` and `bandwidth` are of the random Fourier features of items."""
        super().__init__(token_width=token_width, dim=dim, loss=loss)
        require_between("retriever.tokens", tokens, 1, 65_536)
        if not 0 <= dropout < 1:
            raise ValueError(f"retriever.dropout must be in [0, 1), got {dropout}")
        self.tokens = tokens
        self.features = ItemFeatures(
            scale=scale, frequencies=frequencies, bandwidth=bandwidth, width=2 * token_width, dropout=dropout
        )
        self.user_tower = nn.Linear(self.features.width, token_width * tokens, bias=False)
        self.item_tower = nn.Linear(self.features.width, dim)
        self.popularity_tower = nn.Linear(self.features.width, 1, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(2.0))

    def item_features(self, raw: Tensor) -> Tensor:
        """(..., F) item-identity features."""
        return self.features(raw)

    def require_readouts(self, count: int) -> None:
        """It needs none."""

    def user_tokens(self, history: History) -> Tensor | None:
        """(B, I, W), 0 for an empty history."""
        return rearrange(self.user_tower(self.features.of_history(history)), "b (i w) -> b i w", i=self.tokens)
