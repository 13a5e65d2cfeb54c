"""How sure a predictor is of a user's taste: how close together independent draws for this user are.

Shapes: B users, n draws, D dimension.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from prefprior.data.held_out import HeldOutUsers
from prefprior.history import History
from prefprior.inference.predictor import TrainedPredictor
from prefprior.models.diffusion.guidance import Guidance
from prefprior.models.diffusion.sampler import Sampler

DRAWS = 64
MANY = 16  # ratings after which the median user is well known
PEOPLE, DRAWS_EACH = 48, 16  # enough for a median, and cheap for a large model


def bare(sampler: Sampler) -> Sampler:
    """The sampler without guidance and selection, both of which make draws more alike than the model takes a user's
    likes to be."""
    return sampler.changed(candidates=1, guidance=Guidance())


def spread(unit_BnD: Tensor) -> Tensor:
    """(B,) the length of the mean of unit vectors, without the bias of few: 0 is any direction, 1 a single one.

    The mean resultant length of directional statistics (Mardia & Jupp 2000, section 9.2).
    """
    count = unit_BnD.shape[1]
    square_B = unit_BnD.mean(1).square().sum(1)
    return ((count * square_B - 1) / (count - 1)).clamp_min(0).sqrt()


def concentration(
    predictor: TrainedPredictor, history: History, generator: torch.Generator, draws: int = DRAWS
) -> Tensor:
    """(B,) how close together the draws of each user are, from 0 to 1."""
    raw_BnD = predictor.sample(history, draws, generator, sampler=bare(predictor.sampler))
    return spread(predictor.space.directions(raw_BnD)).cpu()


@dataclass(frozen=True)
class Certainty:
    """What a concentration means: the medians of validation users of whom little and much is known."""

    little: float  # after one rating
    much: float  # after their newest `MANY`

    @classmethod
    def measured(
        cls, predictor: TrainedPredictor, people: HeldOutUsers, generator: torch.Generator
    ) -> "Certainty | None":
        """None where more ratings leave a model as unsure as before: such a model has nothing to say."""
        people = people.first(PEOPLE)
        if not len(people):
            return None
        after = (people.history(length) for length in (1, MANY))
        little, much = (float(concentration(predictor, each, generator, DRAWS_EACH).median()) for each in after)
        return cls(little, much) if 0 <= little < much <= 1 else None

    @classmethod
    def told(cls, facts: Mapping[str, Any]) -> "Certainty | None":
        """What a checkpoint says, if it says anything that can be true."""
        found = facts.get("certainty")
        if not isinstance(found, Mapping):
            return None
        little, much = found.get("little"), found.get("much")
        if not isinstance(little, float) or not isinstance(much, float) or not 0 <= little < much <= 1:
            return None
        return cls(little, much)

    def plain(self) -> dict[str, float]:
        """For a checkpoint's facts."""
        return asdict(self)

    def in_words(self, concentration: float) -> str:
        """For a person to read."""
        if concentration < self.little:
            return "still guessing"
        return "sure" if concentration >= self.much else "getting closer"
