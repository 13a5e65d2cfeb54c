"""The history encoder: a person's ratings in, a handful of read-out tokens out, once per person.

Shapes: B users, K history, R read-outs, I all but the first of them, W width, D dimension, G what is recognised of a
history.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from prefprior.history import History
from prefprior.models.prior.cpu_kernels import RMSNorm
from prefprior.models.prior.layers import EPS, EncoderBlock, ScalarFeatures
from prefprior.space import Space, SpaceScale

AGE_HORIZON = 1024.0  # ages are taken on a logarithmic scale on which this is 1


class HistoryEncoder(nn.Module):
    """Transformer over (embedding, rating, age) tokens and learned read-out tokens.

    It knows no positions, only ages, so the order in which a history is stored changes nothing. A history without a
    valid rating leaves the read-outs nothing to look at but each other: what they say then is learned too, and is the
    null of guidance. Dropping a history in training is therefore the same as its being empty: one meaning, one code.
    Where pictures are recognised, all read-outs but the first are told by what was, and are 0 where nothing was.
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
        recognised: int = 0,
        recognitions: int = 1,
    ) -> None:
        """The read-outs after the first, in equal parts, are what each of `recognitions` makes of the `recognised`
        features of a history, and nothing else: what attention adds is people learned by heart, sooner than pictures.
        The first, which is for the denoiser, adds their mean to what attention found."""
        super().__init__()
        self.scale = SpaceScale(space)
        self.picture = nn.Linear(space.dim, width)
        # So that a like and a dislike differ in direction.
        self.signed_picture = nn.Linear(space.dim, width, bias=False)
        said = width * ((readouts - 1) // recognitions)
        self.recall = nn.ModuleList(
            nn.Linear(recognised, said, bias=False) for _ in range(recognitions if recognised else 0)
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
        recognised: Sequence[Tensor] = (),
    ) -> tuple[Tensor, Tensor]:
        """All tokens (B, R + K, W), read-outs first, and which of them there are.

        Where people have ids, theirs is one token more; `person_B` below 0 is nobody known. What was recognised of a
        history, if anything, is said by the read-outs.
        """
        batch, readouts = len(embeddings_BKD), len(self.readouts_RW)
        # Padding may hold anything, NaN included; masked attention would still turn NaN into NaN.
        pictures_BKD = torch.where(valid_BK[..., None], self.scale.to_model(embeddings_BKD), 0)
        ratings_BK = torch.where(valid_BK, ratings_BK, 0)
        tokens_BKW = self.picture(pictures_BKD) + self.rating(ratings_BK)
        tokens_BKW = tokens_BKW + self.signed_picture(pictures_BKD * ratings_BK[..., None])
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
        if recognised:
            said = [
                recall(known_BG).unflatten(1, (-1, x.shape[2])) for recall, known_BG in zip(self.recall, recognised)
            ]
            said_BIW = torch.cat(said, dim=1)  # I = R - 1
            x = torch.cat([x[:, :1] + said_BIW.mean(1, keepdim=True), said_BIW, x[:, readouts:]], dim=1)
        return x, valid


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
