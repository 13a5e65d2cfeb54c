"""The history encoder: a user's ratings and choices in, a handful of read-out tokens out, once per user.

Shapes: B users, K history, R read-outs, W width, D dimension.
"""

import torch
from torch import Tensor, nn

from prefprior.models.prior.choice_features import ChoiceFeatures
from prefprior.models.prior.cpu_kernels import RMSNorm
from prefprior.models.prior.layers import EPS, EncoderBlock, ScalarFeatures
from prefprior.models.scale import Standardize

AGE_HORIZON = 1024.0  # ages are taken on a logarithmic scale on which this is 1
MLP_RATIO = 4.0


class HistoryEncoder(nn.Module):
    """Transformer over (embedding, rating, choice, age) tokens and learned read-out tokens.

    An item that was shown for a choice is a token as a rated one is. It knows no positions, only ages, so the order in
    which a history is stored changes nothing. With an empty history the read-outs attend to each other alone; what they
    say then is learned, and is the null condition of classifier-free guidance. Dropping a history in training is the
    same as its being empty.
    """

    def __init__(
        self, *, scale: Standardize, width: int, depth: int, heads: int, readouts: int, dropout: float, ages: bool,
        user_ids: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.scale = scale
        dim = scale.space.dim
        self.item = nn.Linear(dim, width)
        self.signed_item = nn.Linear(dim, width, bias=False)  # so that a like and a dislike differ in direction
        self.choices = ChoiceFeatures(dim, width)
        self.rating = ScalarFeatures(width, 16)
        self.age = ScalarFeatures(width, 32) if ages else None
        self.user = nn.Embedding(user_ids, width) if user_ids else None
        self.readouts_RW = nn.Parameter(torch.randn(readouts, width))
        self.blocks = nn.ModuleList(EncoderBlock(width, heads, MLP_RATIO, dropout) for _ in range(depth))
        self.norm = RMSNorm(width, eps=EPS)

    def forward(
        self,
        embeddings_BKD: Tensor,
        ratings_BK: Tensor,
        ages_BK: Tensor,
        valid_BK: Tensor,
        question_BK: Tensor | None = None,
        user_B: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """All tokens (B, R + K, W), read-outs first, and which of them are valid.

        `question_BK` is that of a history with choices, 0 where not valid. Where users are known by id, theirs is one
        token more; `user_B` below 0 is an unknown user.
        """
        batch, readouts = len(embeddings_BKD), len(self.readouts_RW)
        # Padding may hold anything, NaN included; masked attention would still turn NaN into NaN.
        items_BKD = torch.where(valid_BK[..., None], self.scale.to_model(embeddings_BKD), 0)
        ratings_BK = torch.where(valid_BK, ratings_BK, 0)
        tokens_BKW = self.item(items_BKD) + self.rating(ratings_BK)
        tokens_BKW = tokens_BKW + self.signed_item(items_BKD * ratings_BK[..., None])
        tokens_BKW = tokens_BKW + self.choices(items_BKD, ratings_BK, question_BK)
        if self.age is not None:
            age_BK = torch.where(valid_BK, ages_BK, 0).clamp(min=0)
            tokens_BKW = tokens_BKW + self.age(torch.log1p(age_BK) / torch.log1p(age_BK.new_tensor(AGE_HORIZON)))
        x = torch.cat([self.readouts_RW.to(tokens_BKW.dtype).expand(batch, -1, -1), tokens_BKW], dim=1)  # B R+K W
        valid = torch.cat([valid_BK.new_ones(batch, readouts), valid_BK], dim=1)  # B R+K
        if self.user is not None and user_B is not None:
            x = torch.cat([x, self.user(user_B.clamp(min=0))[:, None].to(x.dtype)], dim=1)
            valid = torch.cat([valid, (user_B >= 0)[:, None]], dim=1)
        for block in self.blocks:
            x = block(x, valid)
        return self.norm(x), valid
