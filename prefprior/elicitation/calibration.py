"""The answer model of a trained predictor, fit to the held-out ratings of validation users.

What the model says of a picture for a user whom it knows by half of their ratings is held against what they said: how
sharply they choose the better of several, and between which utilities they go over from one rating to the next.

Shapes: B users, T held out, K history, N distinct items held out, M items shown, S choices, L levels, Y ratings.
"""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import torch
from torch import Tensor

from prefprior.data.held_out import HeldOutUsers, first_share
from prefprior.data.scaling import PersonScale
from prefprior.elicitation.answer_model import AnswerModel, graded
from prefprior.elicitation.people import Levels
from prefprior.elicitation.questions import Kind
from prefprior.elicitation.tastes import standard_utilities
from prefprior.inference.predictor import TrainedPredictor
from prefprior.predictor import Catalogue
from prefprior.ratings import RatingsTable

TEMPERATURES = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.9, 1.5)  # in standard deviations of a user's utilities
LAPSES = (0.01, 0.02, 0.05, 0.1, 0.2)
STEPS, RATE = 300, 0.05  # of Adam on the thresholds of ratings
LEAST = 1e-6  # a probability in a logarithm
HISTORY = 64  # ratings of a history
CHOICES, DRAWS = 4, 16  # of each user: choices that count, of so many draws
FILLERS = 512  # random items, of which a like is chosen


@dataclass(frozen=True)
class Calibrated:
    """The model, and how well it predicts choices."""

    model: AnswerModel
    people: int
    choice: float  # mean probability (geometric) of what was chosen among `shown`
    shown: int

    def in_words(self) -> str:
        """What was found, for a terminal."""
        return (
            f"temperature {self.model.temperature:g}, lapse {self.model.lapse:g}, from {self.people} validation users, "
            f"whose choice among {self.shown} has a probability of {self.choice:.2f} (guessing: {1 / self.shown:.2f})"
        )


def calibrate(
    predictor: TrainedPredictor,
    validation: RatingsTable,
    catalogue: Catalogue,
    scale: PersonScale,
    levels: Levels,
    reference_RD: Tensor,
    *,
    shown: int,
    most: int,
    generator: torch.Generator,
) -> Calibrated:
    """Fits temperature and lapse to choices among `shown` pictures that a user rated (of likes: one like among random
    pictures), and the thresholds of ratings; on at most `most` users."""
    people = _halves(validation, catalogue, scale).first(most)
    if not len(people):
        raise ValueError(
            "validation users have no ratings to calibrate answers: they only made choices, or their ratings are "
            "all in the half that is the history. Train with earlier ratings too (source.rehearsal=true for a studio's "
            "answers), or give elicit.py temperature=0.4 and ask for choices only"
        )
    item_N, place_BT = people.held_item_BT.clamp_min(0).unique(return_inverse=True)
    fillers_F = torch.randint(len(catalogue), (FILLERS,), generator=generator)
    both = torch.cat([item_N, fillers_F])
    utility_BN = standard_utilities(
        predictor, people.history(HISTORY), catalogue.embeddings_ND[both].float(), reference_RD
    )
    if scale.scale.liked_only:
        option_SM = _likes_among(people, place_BT, utility_BN, len(item_N), shown, generator)
    else:
        option_SM = _best_of_rated(people, utility_BN.gather(1, place_BT), shown, generator)
    if not len(option_SM):
        raise ValueError(
            f"validation users have too few ratings to calibrate answers: of no {shown} that a user gave is one the "
            "best. Lower calibrate_shown, or give elicit.py temperature=0.4 and ask for choices only"
        )
    tried = [AnswerModel(temperature=t, lapse=lapse) for t, lapse in product(TEMPERATURES, LAPSES)]
    kind = Kind(option_SM.shape[1])
    figures = [float(model.probabilities(option_SM, kind)[:, 0].log().mean()) for model in tried]
    best = int(np.argmax(figures))
    model = tried[best]
    if len(levels) > 1 and not scale.scale.liked_only:
        model = _with_thresholds(model, people, utility_BN.gather(1, place_BT), levels)
    return Calibrated(model, len(people), float(np.exp(figures[best])), kind.shown)


def _halves(validation: RatingsTable, catalogue: Catalogue, scale: PersonScale) -> HeldOutUsers:
    """Held-out ratings stay as they were given: a scale that is clipped would tie some of them. What was picked is a
    like, but no rating that thresholds could be fit to."""
    first = first_share(validation, 0.5)
    held = ~first if validation.scale.liked_only else ~first & validation.rated_N
    before, after = (validation.take(np.flatnonzero(rows)).as_ratings() for rows in (first, held))
    return replace(HeldOutUsers.of(before, after, catalogue, cap=HISTORY), scale=scale)


def _best_of_rated(people: HeldOutUsers, utility_BT: Tensor, shown: int, generator: torch.Generator) -> Tensor:
    """(S, M) utilities of random pictures that a user rated, the one rated highest first."""
    rows = []
    for utility_T, rating_T, valid_T in zip(utility_BT, people.held_rating_BT, people.held_valid_BT, strict=True):
        rated = valid_T.nonzero()[:, 0]
        found = 0
        for _ in range(DRAWS if len(rated) >= shown else 0):
            some = rated[torch.randperm(len(rated), generator=generator)[:shown]]
            some = some[rating_T[some].argsort(descending=True)]
            if rating_T[some[0]] > rating_T[some[1]] and found < CHOICES:
                rows.append(utility_T[some])
                found += 1
    return torch.stack(rows) if rows else torch.empty(0, shown)


def _likes_among(
    people: HeldOutUsers, place_BT: Tensor, utility_BN: Tensor, held: int, shown: int, generator: torch.Generator
) -> Tensor:
    """(S, M) utilities of a held-out like, first, and of random pictures."""
    rows = []
    for utility_N, place_T, valid_T in zip(utility_BN, place_BT, people.held_valid_BT, strict=True):
        for place in place_T[valid_T][:CHOICES].tolist():
            fillers = held + torch.randperm(len(utility_N) - held, generator=generator)[: shown - 1]
            rows.append(utility_N[torch.cat([torch.tensor([place]), fillers])])
    return torch.stack(rows) if rows else torch.empty(0, shown)


def _with_thresholds(model: AnswerModel, people: HeldOutUsers, utility_BT: Tensor, levels: Levels) -> AnswerModel:
    """Maximum likelihood of the graded response model."""
    valid_BT = people.held_valid_BT
    utility_Y = utility_BT[valid_BT]
    scale = people.scale.scale
    raw_Y = (people.held_rating_BT[valid_BT].numpy() + 1) / 2 * (scale.high - scale.low) + scale.low
    level_Y = torch.from_numpy(levels.numbers(raw_Y))
    start = torch.quantile(utility_Y, torch.linspace(0.1, 0.9, len(levels) - 1))
    first, gaps = start[:1].clone().requires_grad_(), start.diff().clamp_min(0.05).log().requires_grad_()
    spread = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.Adam([first, gaps, spread], lr=RATE)
    rows = torch.arange(len(level_Y))
    with torch.enable_grad():
        for _ in range(STEPS):
            thresholds = torch.cat([first, first + gaps.exp().cumsum(0)])
            certain_LY = graded(utility_Y, thresholds, spread.exp())
            each_Y = (1 - model.lapse) * certain_LY[level_Y, rows] + model.lapse / len(levels)
            loss = -(each_Y + LEAST).log().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    found = torch.cat([first, first + gaps.exp().cumsum(0)]).detach().tolist()
    liked = found[max(levels.likes_from - 1, 0)]
    return AnswerModel(
        temperature=model.temperature,
        lapse=model.lapse,
        thresholds=found,
        spread=float(spread.detach().exp().clamp(1e-3, 10)),
        liked_from=liked,
    )
