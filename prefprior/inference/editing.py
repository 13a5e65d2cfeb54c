"""Moves the embedding of a picture towards the taste of a user, and changes little else.

The goal is the sample of the prior for this user that is nearest to the picture. Most of the way to it has nothing to
do with taste. So the goal is first walked back towards the picture as far as the user's score stays what it is: the end
is the picture nearest to the original, by how real pictures vary, that the user would like as much. A picture that is
changed in nothing but taste is an unlikely one, which a decoder renders as something else. The path of an edit is
therefore the quadratic Bezier curve on the sphere (Shoemake 1985, doi:10.1145/325334.325242) that starts at the
original, is drawn to that end, and arrives at the goal. Figures are in docs/sampling.md.

Shapes: B users, M samples, P real pictures, D dimension; `...` any leading shape.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from prefprior.history import History
from prefprior.inference.predictor import TrainedPredictor
from prefprior.models.diffusion.sampler import Sampler
from prefprior.space import Space

SAMPLES = 256  # among which the goal is looked for: a step of the denoiser for all is milliseconds
ROUNDS, RATE = 30, 0.2  # of the walk back: 0.8^30 of the way is left where nothing holds it


class EditPath(NamedTuple):
    """Where an edit starts, what it is drawn to, and where it ends: raw embeddings (B, D)."""

    original_BD: Tensor
    nearest_liked_BD: Tensor
    goal_BD: Tensor

    def at(self, space: Space, strength: Tensor | float) -> Tensor:
        """The edit of some strength from 0 (the original) to 1 (the goal)."""
        first = interpolated(space, self.original_BD, self.nearest_liked_BD, strength)
        second = interpolated(space, self.nearest_liked_BD, self.goal_BD, strength)
        return interpolated(space, first, second, strength)


def edit_path(
    predictor: TrainedPredictor,
    history: History,
    original_BD: Tensor,
    generator: torch.Generator,
    *,
    sampler: Sampler | None = None,
) -> EditPath:
    """The path of each user's edit of a picture; samples are drawn as for galleries."""
    sampler = (sampler or predictor.sampler).changed(candidates=1)
    sample_BMD = predictor.sample(history, SAMPLES, generator, sampler=sampler)
    score_BM = predictor.score(history, sample_BMD)
    original_BD = original_BD.to(sample_BMD)
    cosine_BM = (predictor.space.directions(sample_BMD) @ predictor.space.directions(original_BD)[..., None])[..., 0]
    good_BM = score_BM >= score_BM.median(dim=1, keepdim=True).values
    rows_B = cosine_BM.masked_fill(~good_BM, -torch.inf).argmax(dim=1)
    goal_BD = sample_BMD[torch.arange(len(rows_B)), rows_B]
    return EditPath(original_BD, _walked_back(predictor, history, goal_BD, original_BD), goal_BD)


def _walked_back(predictor: TrainedPredictor, history: History, goal_BD: Tensor, original_BD: Tensor) -> Tensor:
    """From the goal towards the original, while the score is at least that of the goal.

    A step that would cost score is changed by the least that, to first order, makes up for it; least in the metric of
    the covariance of real pictures' directions, whose product with a gradient needs no matrix of D x D.
    """
    picture_PD = predictor.model.lengths.direction_PD.to(goal_BD)
    if not len(picture_PD):
        raise ValueError("edits need embeddings of real pictures, and this checkpoint has none: train the prior again")
    apart_PD = picture_PD - picture_PD.mean(0)
    made_BD, target_BD = goal_BD, normalize(original_BD, dim=1)
    floor_B: Tensor | None = None
    for _ in range(ROUNDS):
        score_B, slope_BD = predictor.score_gradient(history, made_BD)
        floor_B = score_B if floor_B is None else floor_B
        unit_BD = normalize(made_BD, dim=1)
        slope_BD = slope_BD * made_BD.norm(dim=1, keepdim=True)  # of the direction, not of the embedding
        step_BD = RATE * (target_BD - unit_BD)
        up_BD = (slope_BD @ apart_PD.T) @ apart_PD / len(apart_PD)
        lost_B = floor_B - score_B - (slope_BD * step_BD).sum(1)
        gain_B = (slope_BD * up_BD).sum(1).clamp(min=1e-12)
        step_BD = step_BD + (lost_B.clamp(min=0) / gain_B)[:, None] * up_BD
        made_BD = normalize(unit_BD + step_BD, dim=1) * goal_BD.norm(dim=1, keepdim=True)
    return predictor.model.lengths.bounded(made_BD)


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
