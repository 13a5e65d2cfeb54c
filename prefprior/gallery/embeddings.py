"""From a user to the embeddings of their pictures; from one user's best picture to another's; from a given picture to
what a user would make of it.

Shapes: M embeddings, n pictures, R reference pictures, D dimension.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from prefprior.gallery.settings import GallerySettings
from prefprior.gallery.users import GalleryUser
from prefprior.history import History
from prefprior.inference.certainty import Certainty, concentration
from prefprior.inference.editing import SAMPLES, EditPath, edit_path, interpolated
from prefprior.inference.predictor import TrainedPredictor
from prefprior.inference.selection import similarity_to_rated
from prefprior.inference.steering import Steering
from prefprior.predictor import Catalogue
from prefprior.seeding import generator_of
from prefprior.space import Space

ALONG = "along/"  # begins the names of figures that say where pictures stand along an axis
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
    columns: Mapping[str, Tensor] = field(default_factory=dict)  # more figures of each, by name
    concentration: float | None = None  # how close together independent draws are: how sure the prior is
    sure: str | None = None  # the same in words

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
        steering: Steering | None = None,
        original_D: Tensor | None = None,
    ) -> None:
        """`text_D` is what all pictures should show, `steering` moves them along axes, `original_D` is the picture that
        `edited` starts from. Scores are compared with those of some of the catalogue."""
        self.predictor, self.settings, self.text_D = predictor, settings, text_D
        self.steering, self.original_D = steering, original_D
        self._certainty = Certainty.told(predictor.facts)
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
            steering=self.steering,
        )
        return self._described(
            user, _on_cpu(samples.raw_BnD), candidates=int(samples.proposed_B), near_copies=int(samples.near_copies_B)
        )

    def edited(self, user: GalleryUser) -> UserEmbeddings:
        """The original, moved towards the user's taste and along the axes, in n equal steps from not at all."""
        assert self.original_D is not None
        settings, predictor = self.settings, self.predictor
        share_n = torch.linspace(0, 1, settings.n) if settings.n > 1 else torch.ones(1)
        raw_nD = self.original_D.float().expand(settings.n, -1)
        if settings.edit_strength:
            path = edit_path(
                predictor,
                user.history,
                self.original_D[None],
                generator_of(settings.seed, user.name, "edit"),
                sampler=settings.sampler,
            )
            path = EditPath(*(part_BD.float().cpu().expand(settings.n, -1) for part_BD in path))
            raw_nD = path.at(predictor.space, settings.edit_strength * share_n)
        if self.steering is not None:
            raw_nD = self.steering.moved(raw_nD, share_n)
        cosine_n = predictor.space.directions(raw_nD) @ predictor.space.directions(self.original_D)
        found = self._described(user, raw_nD, candidates=SAMPLES if settings.edit_strength else 0, near_copies=0)
        return replace(found, columns={"share": share_n, "cosine_to_original": cosine_n, **found.columns})

    def between(self, one: GalleryUser, other: GalleryUser) -> UserEmbeddings:
        """A walk from the best picture of one user to that of another, in n equal steps."""
        n, space = self.settings.n, self.predictor.space
        alone = PersonalEmbeddings(
            predictor=self.predictor,
            settings=replace(self.settings, n=1, negative=False),
            text_D=self.text_D,
            steering=self.steering,
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
            columns=self._along(raw_nD),
        )

    def _described(self, user: GalleryUser, raw_nD: Tensor, *, candidates: int, near_copies: int) -> UserEmbeddings:
        """One user's embeddings with their figures."""
        score_n, better_than_n = self._scores(user.history, raw_nD)
        sure = self._sure(user)
        return UserEmbeddings(
            raw_nD=raw_nD,
            score_n=score_n,
            better_than_n=better_than_n,
            concentration=sure,
            sure=None if sure is None or self._certainty is None else self._certainty.in_words(sure),
            likeness_n=self._likeness(user, raw_nD),
            negative_nD=self._negatives(user),
            diversity=mean_distance(self.predictor.space, raw_nD),
            candidates=candidates,
            near_copies=near_copies,
            columns=self._along(raw_nD),
        )

    def _sure(self, user: GalleryUser) -> float | None:
        if self._certainty is None:
            return None
        generator = generator_of(self.settings.seed, user.name, "certainty")
        return float(concentration(self.predictor, user.history, generator)[0])

    def _scores(self, history: History, raw_nD: Tensor) -> tuple[Tensor, Tensor | None]:
        """Scores, and the share of the reference pictures that the same user scores lower."""
        if self._reference_RD is None:
            return _on_cpu(self.predictor.score(history, raw_nD)), None
        all_M = _on_cpu(self.predictor.score(history, torch.cat([raw_nD, self._reference_RD])))
        score_n, reference_R = all_M[: len(raw_nD)], all_M[len(raw_nD) :]
        return score_n, (reference_R[None] < score_n[:, None]).float().mean(1)

    def _negatives(self, user: GalleryUser) -> Tensor | None:
        """What the user would dislike most, one for each picture, if wanted."""
        if not self.settings.negative:
            return None
        generator = generator_of(self.settings.seed, user.name, "negative")
        return _on_cpu(
            self.predictor.negatives(user.history, self.settings.n, generator, sampler=self.settings.sampler)
        )

    def _along(self, raw_nD: Tensor) -> dict[str, Tensor]:
        """Where the embeddings stand along each axis, in standard deviations of real pictures."""
        if self.steering is None:
            return {}
        return {f"{ALONG}{name}": at_n for name, at_n in zip(self.steering.names, self.steering.positions(raw_nD).T)}

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


def _some(catalogue: Catalogue, seed: int) -> Tensor:
    rows = torch.randperm(len(catalogue), generator=generator_of(seed, "reference"))[:REFERENCE].sort().values
    return catalogue.embeddings_ND[rows].float()


def _on_cpu(value: Tensor) -> Tensor:
    """The only user's row."""
    return value[0].float().cpu()
