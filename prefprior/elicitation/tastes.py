"""Sampled tastes: each is a user that the model itself imagines.

The model says what a user with a given history would like next. Drawn again and again, each draw taken into the
history, that makes a whole user: a sample from the distribution of tastes, given what is known (a predictive, or
martingale, posterior: Fong, Holmes & Walker 2023, doi:10.1093/jrsssb/qkad005). What such a user thinks of a picture is
what the trained model says of it for their history, in standard deviations over the pictures that there are: only how
pictures compare is a matter of taste.

Shapes: P tastes, K known ratings, V imagined items, N items, R of reference, n samples, D dimension.
"""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from prefprior.elicitation.next_likes import NextLikes
from prefprior.history import History
from prefprior.inference.certainty import bare
from prefprior.inference.predictor import TrainedPredictor
from prefprior.models.diffusion.sampler import Sampler
from prefprior.predictor import By, Catalogue

AT_ONCE = 3  # items that are imagined in one go, from the same history
TASTES_AT_ONCE = 256  # that rate pictures: bounds memory


@dataclass(frozen=True, eq=False)
class Tastes:
    """Imagined users, who share the ratings that are known."""

    likes: NextLikes
    known: History  # of one user, perhaps empty
    reference_RD: Tensor  # raw embeddings of pictures at random, over which utilities have mean 0 and deviation 1
    imagined_PVD: Tensor  # raw embeddings of items they like

    @classmethod
    def imagine(
        cls,
        likes: NextLikes,
        known: History,
        reference_RD: Tensor,
        count: int,
        length: int,
        generator: torch.Generator,
    ) -> "Tastes":
        """`count` users, each of whom likes `length` imagined items."""
        if len(known) != 1:
            raise ValueError(f"tastes are those of one user at a time, got {len(known)}")
        none_PVD = torch.zeros(count, 0, likes.predictor.space.dim)
        return cls(likes, known, reference_RD, none_PVD)._grown(length, generator)

    @property
    def predictor(self) -> TrainedPredictor:
        """The model that imagines them, and says what they think."""
        return self.likes.predictor

    def __len__(self) -> int:
        return len(self.imagined_PVD)

    @property
    def length(self) -> int:
        """How many items each user likes."""
        return self.imagined_PVD.shape[1]

    @property
    def history(self) -> History:
        """What each user has rated: the imagined items are the newest."""
        count, imagined = self.imagined_PVD.shape[:2]
        known = self.known.take([0] * count)
        if not imagined:
            return known
        newest_PV = torch.arange(imagined - 1, -1, -1, dtype=torch.float32).expand(count, -1)
        liked = History(
            embeddings_BKD=self.imagined_PVD,
            ratings_BK=torch.ones(count, imagined),
            ages_BK=newest_PV,
            valid_BK=torch.ones(count, imagined, dtype=torch.bool),
            items_BK=torch.full((count, imagined), -1),
            users=known.users,
        )
        known = replace(known, ages_BK=known.ages_BK + imagined * known.valid_BK)
        joined = {
            each.name: torch.cat([getattr(liked, each.name), getattr(known, each.name)], dim=1)
            for each in fields(History)
            if each.name != "users"
        }
        return History(**joined, users=known.users)

    def take(self, rows: Tensor) -> "Tastes":
        """Some of them, perhaps several times."""
        return replace(self, imagined_PVD=self.imagined_PVD[rows])

    def regrown(self, kept: int, generator: torch.Generator) -> "Tastes":
        """Each with `kept` of their items, drawn at random, and new ones for the rest: a step of Gibbs sampling, which
        leaves the distribution of imagined users as it is as far as their items are exchangeable."""
        order_PV = torch.rand(self.imagined_PVD.shape[:2], generator=generator).argsort(1)[:, :kept]
        kept_PVD = self.imagined_PVD.gather(1, order_PV[..., None].expand(-1, -1, self.imagined_PVD.shape[2]))
        return replace(self, imagined_PVD=kept_PVD)._grown(self.length, generator)

    def utilities(self, raw_ND: Tensor) -> Tensor:
        """(P, N) how much each likes some items."""
        return standard_utilities(self.predictor, self.history, raw_ND, self.reference_RD)

    def draws(
        self,
        n: int,
        generator: torch.Generator,
        *,
        guided: bool = True,
        sampler: Sampler | None = None,
        rating: float = 1.0,
        text_D: Tensor | None = None,
    ) -> Tensor:
        """(P, n, D) embeddings that the generator makes of what each would give a rating, one by one, by the model's
        sampler or another; showing what `text_D` says, where the model was trained with texts."""
        own = sampler or self.predictor.sampler
        alone = own.changed(candidates=1) if guided else bare(own)
        text_BD = None if text_D is None else text_D.expand(len(self), -1)
        return self.predictor.sample(self.history, n, generator, rating=rating, sampler=alone, text_BD=text_BD).cpu()

    def _grown(self, length: int, generator: torch.Generator) -> "Tastes":
        grown = self
        while grown.length < length:
            # The first decides whose taste it is, so it is drawn alone.
            more = min(AT_ONCE, length - grown.length) if grown.length else 1
            both_PVD = torch.cat([grown.imagined_PVD, self.likes.draw(grown.history, more, generator)], 1)
            grown = replace(grown, imagined_PVD=both_PVD)
        return grown


@torch.no_grad()
def standard_utilities(predictor: TrainedPredictor, history: History, raw_ND: Tensor, reference_RD: Tensor) -> Tensor:
    """(B, N) how much each user likes some items, in standard deviations over the items of reference: expected ratings
    or, if the model knows likes only, the scores by which it ranks."""
    by: By = "rating" if predictor.two_scores else "interaction"
    raw = torch.cat([reference_RD, raw_ND])
    catalogue = Catalogue(predictor.space, [str(item) for item in range(len(raw))], raw)
    unknown = replace(history, items_BK=torch.full_like(history.items_BK, -1))  # rows of another catalogue
    rows = torch.arange(len(history)).split(TASTES_AT_ONCE)
    score = torch.cat([predictor.rank(unknown.take(some), catalogue, by).cpu() for some in rows])
    over_BR = score[:, : len(reference_RD)]
    scale_B1 = over_BR.std(1, keepdim=True).clamp_min(1e-6)
    return (score[:, len(reference_RD) :] - over_BR.mean(1, keepdim=True)) / scale_B1
