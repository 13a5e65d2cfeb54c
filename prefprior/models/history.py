"""The history encoder: a person's ratings in, a handful of read-out tokens out, once per person.

Shapes: B users, K history, R read-outs, W width, D dimension,
E features of a picture, V valid ratings.
"""

import torch
from torch import Tensor, nn

from prefprior.data.batch import History
from prefprior.models.blocks import EPS, EncoderBlock, ScalarFeatures
from prefprior.models.fourier import FourierFeatures
from prefprior.models.fused import RMSNorm
from prefprior.space import Space, SpaceScale

AGE_HORIZON = 1024.0  # ages are taken on a logarithmic scale on which this is 1


class HistoryEncoder(nn.Module):
    """Transformer over (embedding, rating, age) tokens and learned read-out tokens.

    It knows no positions, only ages, so the order in which a history is stored changes nothing. A history without a
    valid rating leaves the read-outs nothing to look at but each other: what they say then is learned too, and is the
    null of guidance. Dropping a history in training is therefore the same as its being empty: one meaning, one code.
    """

    def __init__(
        self,
        *,
        space: Space,
        width: int,
        depth: int,
        heads: int,
        readouts: int,
        ratio: float,
        dropout: float,
        ages: bool,
        people: int,
        frequencies: int = 0,
        frequency_spread: float = 1.0,
    ) -> None:
        super().__init__()
        self.scale = SpaceScale(space)
        self.features = FourierFeatures(dim=space.dim, frequencies=frequencies, spread=frequency_spread)
        self.picture = nn.Linear(self.features.out_dim, width)
        self.signed_picture = nn.Linear(
            self.features.out_dim, width, bias=False
        )  # so that a like and a dislike differ in direction
        # A short way past attention, so that what is learned of single pictures need not pass through it.
        self.recall = (
            nn.Sequential(
                nn.Linear(self.features.out_dim, 2 * width), nn.SiLU(), nn.Dropout(dropout), nn.Linear(2 * width, width)
            )
            if frequencies
            else None
        )
        self.rating = ScalarFeatures(width, 16)
        self.age = ScalarFeatures(width, 32) if ages else None
        self.person = nn.Embedding(people, width) if people else None
        self.readouts_RW = nn.Parameter(torch.randn(readouts, width))
        self.blocks = nn.ModuleList(EncoderBlock(width, heads, ratio, dropout) for _ in range(depth))
        self.norm = RMSNorm(width, eps=EPS)

    def forward(
        self,
        embeddings_BKD: Tensor,
        ratings_BK: Tensor,
        ages_BK: Tensor,
        valid_BK: Tensor,
        person_B: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """All tokens (B, R + K, W), read-outs first, and which of them there are.

        Where people have ids, theirs is one token more; `person_B` below 0 is nobody known.
        """
        batch, readouts = len(embeddings_BKD), len(self.readouts_RW)
        # Padding may hold anything, NaN included; masked attention would still turn NaN into NaN.
        pictures_BKD = torch.where(valid_BK[..., None], self.scale.to_model(embeddings_BKD), 0)
        ratings_BK = torch.where(valid_BK, ratings_BK, 0)
        recalled_BW = None
        if self.recall is None:
            tokens_BKW = self._tokens(pictures_BKD, ratings_BK)
        else:
            # Many features of each picture, and most places of most histories are padding: only what is there is read.
            user_V, place_V = valid_BK.nonzero(as_tuple=True)
            seen_VE, rating_V = self.features(pictures_BKD[user_V, place_V]), ratings_BK[user_V, place_V]
            rated_VW = self._tokens(seen_VE, rating_V)
            tokens_BKW = rated_VW.new_zeros(*valid_BK.shape, rated_VW.shape[1]).index_put((user_V, place_V), rated_VW)
            recalled_VW = self.recall(seen_VE) * rating_V[:, None]
            summed_BW = recalled_VW.new_zeros(batch, recalled_VW.shape[1]).index_add(0, user_V, recalled_VW)
            recalled_BW = summed_BW / valid_BK.sum(1, keepdim=True).clamp(min=1)
        if self.age is not None:
            age_BK = torch.where(valid_BK, ages_BK, 0).clamp(min=0)
            tokens_BKW = tokens_BKW + self.age(torch.log1p(age_BK) / torch.log1p(age_BK.new_tensor(AGE_HORIZON)))
        x = torch.cat([self.readouts_RW.to(tokens_BKW.dtype).expand(batch, -1, -1), tokens_BKW], dim=1)  # B R+K W
        valid = torch.cat([valid_BK.new_ones(batch, readouts), valid_BK], dim=1)  # B R+K
        if self.person is not None and person_B is not None:
            x = torch.cat([x, self.person(person_B.clamp(min=0))[:, None].to(x.dtype)], dim=1)
            valid = torch.cat([valid, (person_B >= 0)[:, None]], dim=1)
        for block in self.blocks:
            x = block(x, valid)
        x = self.norm(x)
        if recalled_BW is not None:
            x = torch.cat([x[:, :readouts] + recalled_BW[:, None], x[:, readouts:]], dim=1)
        return x, valid

    def _tokens(self, seen: Tensor, ratings: Tensor) -> Tensor:
        return self.picture(seen) + self.rating(ratings) + self.signed_picture(seen * ratings[..., None])  # ... W


def packed(history: History, multiple: int = 8) -> History:
    """The same history with valid ratings first and columns that are padding for everybody cut off.

    The kept length is rounded up to a `multiple`, so that a compiled encoder meets few different shapes.
    """
    longest = int(history.valid_BK.sum(1).max()) if len(history) else 0
    kept = max(1, -(-longest // multiple) * multiple)
    if kept >= history.valid_BK.shape[1]:
        return history
    index_BK = (~history.valid_BK).to(torch.uint8).argsort(dim=1, stable=True)[:, :kept]
    return History(
        embeddings_BKD=history.embeddings_BKD.gather(
            1, index_BK[..., None].expand(-1, -1, history.embeddings_BKD.shape[2])
        ),
        ratings_BK=history.ratings_BK.gather(1, index_BK),
        ages_BK=history.ages_BK.gather(1, index_BK),
        valid_BK=history.valid_BK.gather(1, index_BK),
        items_BK=history.items_BK.gather(1, index_BK),
        users=history.users,
    )
