"""From a user to the embeddings of their pictures, and from one user's best picture to another's.

Shapes: M embeddings, n pictures, R reference pictures, D dimension.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from prefprior.gallery.settings import GallerySettings
from prefprior.gallery.users import GalleryUser
from prefprior.history import History
from prefprior.inference.predictor import TrainedPredictor
from prefprior.inference.selection import similarity_to_rated
from prefprior.predictor import Catalogue
from prefprior.seeding import generator_of
from prefprior.space import Space

REFERENCE = 1000  # real pictures that scores are compared with


@dataclass(frozen=True, eq=False)
class UserEmbeddings:
    """The embeddings chosen for one user, best first."""

    raw_nD: Tensor
    score_n: Tensor  # the predictor's score
    better_than_n: Tensor | None  # share of the reference pictures that score lower
    likeness_n: Tensor  # largest standardised cosine to a rated picture
    negative_nD: Tensor | None
    diversity: float  # mean pairwise distance
    candidates: int  # how many they were chosen from
    near_copies: int  # candidates that were rejected

    def __len__(self) -> int:
        return len(self.raw_nD)


class PersonalEmbeddings:
    """Embeddings for one user after another; each user's random numbers come from a generator of their own."""

    def __init__(
        self,
        *,
        predictor: TrainedPredictor,
        settings: GallerySettings,
        text_D: Tensor | None = None,
        catalogue: Catalogue | None = None,
    ) -> None:
        """`text_D` is what all pictures should show. Scores are compared with those of some of the catalogue."""
        self.predictor, self.settings, self.text_D = predictor, settings, text_D
        self._reference_RD = None if catalogue is None else _some(catalogue, settings.seed)

    def of(self, user: GalleryUser) -> UserEmbeddings:
        """The embeddings of one user's pictures."""
        settings, predictor = self.settings, self.predictor
        samples = predictor.select(
            user.history,
            settings.n,
            generator_of(settings.seed, user.name, "embeddings", 0),
            sampler=settings.sampler,
            text_BD=None if self.text_D is None else self.text_D[None],
            text_weight=0.5 if settings.prompt_weight is None else settings.prompt_weight,
            copy_threshold=settings.copy_threshold,
        )
        raw_nD = _on_cpu(samples.raw_BnD)
        score_n, better_than_n = self._scores(user.history, raw_nD)
        negative_nD = None
        if settings.negative:
            generator = generator_of(settings.seed, user.name, "negative")
            negatives_BnD = predictor.negatives(user.history, settings.n, generator, sampler=settings.sampler)
            negative_nD = _on_cpu(negatives_BnD)
        return UserEmbeddings(
            raw_nD=raw_nD,
            score_n=score_n,
            better_than_n=better_than_n,
            likeness_n=self._likeness(user, raw_nD),
            negative_nD=negative_nD,
            diversity=mean_distance(predictor.space, raw_nD),
            candidates=int(samples.proposed_B),
            near_copies=int(samples.near_copies_B),
        )

    def between(self, one: GalleryUser, other: GalleryUser) -> UserEmbeddings:
        """A walk from the best picture of one user to that of another, in n equal steps."""
        n, space = self.settings.n, self.predictor.space
        alone = PersonalEmbeddings(
            predictor=self.predictor, settings=replace(self.settings, n=1, negative=False), text_D=self.text_D
        )
        first, last = alone.of(one), alone.of(other)
        share_n = torch.linspace(0, 1, n) if n > 1 else torch.tensor([0.5])
        raw_nD = interpolated(space, first.raw_nD.expand(n, -1), last.raw_nD.expand(n, -1), share_n)
        score_n, _ = self._scores(one.history, raw_nD)
        other_score_n, _ = self._scores(other.history, raw_nD)
        return UserEmbeddings(
            raw_nD=raw_nD,
            score_n=(1 - share_n) * score_n + share_n * other_score_n,
            better_than_n=None,
            likeness_n=torch.maximum(self._likeness(one, raw_nD), self._likeness(other, raw_nD)),
            negative_nD=None,
            diversity=mean_distance(space, raw_nD),
            candidates=first.candidates + last.candidates,
            near_copies=first.near_copies + last.near_copies,
        )

    def _scores(self, history: History, raw_nD: Tensor) -> tuple[Tensor, Tensor | None]:
        """Scores, and the share of the reference pictures that the same user scores lower."""
        if self._reference_RD is None:
            return _on_cpu(self.predictor.score(history, raw_nD)), None
        all_M = _on_cpu(self.predictor.score(history, torch.cat([raw_nD, self._reference_RD])))
        score_n, reference_R = all_M[: len(raw_nD)], all_M[len(raw_nD) :]
        return score_n, (reference_R[None] < score_n[:, None]).float().mean(1)

    def _likeness(self, user: GalleryUser, raw_nD: Tensor) -> Tensor:
        return similarity_to_rated(self.predictor.space, raw_nD[None], user.history)[0]


def mean_distance(space: Space, raw_MD: Tensor) -> float:
    """Mean pairwise distance (1 - standardised cosine); 0 for a single embedding."""
    count = len(raw_MD)
    if count < 2:
        return 0.0
    unit_MD = space.directions(raw_MD)
    cosine_MM = unit_MD @ unit_MD.T
    return float(1 - (cosine_MM.sum() - cosine_MM.diagonal().sum()) / (count * (count - 1)))


def interpolated(space: Space, one_MD: Tensor, other_MD: Tensor, share: Tensor | float) -> Tensor:
    """Spherical interpolation in standardised coordinates, share 0 giving `one`; lengths are interpolated too."""
    one, other = space.to_model(one_MD), space.to_model(other_MD)
    one_norm, other_norm = one.norm(dim=-1, keepdim=True), other.norm(dim=-1, keepdim=True)
    cosine = ((one / one_norm) * (other / other_norm)).sum(-1, keepdim=True).clamp(-1, 1)
    angle = torch.acos(cosine)
    share = torch.as_tensor(share, dtype=one.dtype)
    share = share[..., None] if share.ndim else share
    small = angle.sin() < 1e-4  # (nearly) the same or opposite directions: a straight line
    sine = torch.where(small, torch.ones_like(angle), angle.sin())
    weight_one = torch.where(small, 1 - share, ((1 - share) * angle).sin() / sine)
    weight_other = torch.where(small, share * torch.ones_like(angle), (share * angle).sin() / sine)
    mixed = weight_one * one / one_norm + weight_other * other / other_norm
    return space.from_model(mixed * ((1 - share) * one_norm + share * other_norm))


def _some(catalogue: Catalogue, seed: int) -> Tensor:
    rows = torch.randperm(len(catalogue), generator=generator_of(seed, "reference"))[:REFERENCE].sort().values
    return catalogue.embeddings_ND[rows].float()


def _on_cpu(value: Tensor) -> Tensor:
    """The only user's row."""
    return value[0].float().cpu()
