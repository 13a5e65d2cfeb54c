"""prefprior/inference/editing.py: a picture moves towards a user's taste, and not further than that takes."""

import pytest
import torch
from torch import Tensor

from prefprior.history import History
from prefprior.inference.editing import EditPath, edit_path
from prefprior.inference.predictor import TrainedPredictor
from prefprior.models.diffusion.sampler import Sampler
from prefprior.models.diffusion.schedules import CosineSchedule
from prefprior.models.objectives.denoising import Denoising
from prefprior.space import Space
from tests.models.conftest import DIM, make_history, make_model

USERS = 3


def predictor_of(space: Space, retriever: str | None = "shared") -> TrainedPredictor:
    model = make_model(space, retriever)
    model.lengths.learn(torch.randn(500, DIM, generator=torch.Generator().manual_seed(1)) * 3 + 1)
    return TrainedPredictor(model=model, objective=Denoising(schedule=CosineSchedule()), sampler=Sampler(steps=3))


@pytest.fixture
def history() -> History:
    return make_history(USERS, 6)


@pytest.fixture
def originals() -> Tensor:
    return torch.randn(USERS, DIM, generator=torch.Generator().manual_seed(2)) * 3 + 1


def path_of(predictor: TrainedPredictor, history: History, originals: Tensor) -> EditPath:
    return edit_path(predictor, history, originals, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("retriever", ["shared", None])
def test_the_gradient_is_that_of_the_score(space: Space, history: History, originals: Tensor, retriever: str) -> None:
    predictor = predictor_of(space, retriever)
    score, slope = predictor.score_gradient(history, originals)
    torch.testing.assert_close(score, predictor.score(history, originals[:, None])[:, 0], atol=1e-5, rtol=1e-5)
    step = 1e-2 * torch.nn.functional.normalize(slope, dim=1)
    up, down = (predictor.score(history, (originals + sign * step)[:, None])[:, 0] for sign in (1, -1))
    torch.testing.assert_close((up - down) / 2e-2, slope.norm(dim=1), atol=1e-3, rtol=2e-2)


def test_gradients_do_not_reach_the_weights(space: Space, history: History, originals: Tensor) -> None:
    predictor = predictor_of(space)
    predictor.score_gradient(history, originals)
    assert all(weight.grad is None for weight in predictor.model.parameters())


def test_strength_0_is_the_original_and_strength_1_the_goal(space: Space, history: History, originals: Tensor) -> None:
    path = path_of(predictor_of(space), history, originals)
    torch.testing.assert_close(path.at(space, 0.0), originals, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(path.at(space, 1.0), path.goal_BD, atol=1e-4, rtol=1e-4)


def test_the_nearest_liked_picture_is_liked_nearly_as_much_as_the_goal(
    space: Space, history: History, originals: Tensor
) -> None:
    predictor = predictor_of(space)
    path = path_of(predictor, history, originals)
    before, there, goal = (
        predictor.score(history, x[:, None])[:, 0] for x in (path.original_BD, path.nearest_liked_BD, path.goal_BD)
    )
    assert (there > goal - 0.5 * (goal - before).abs()).all()


def test_the_nearest_liked_picture_is_nearer_than_the_goal(space: Space, history: History, originals: Tensor) -> None:
    path = path_of(predictor_of(space), history, originals)

    def cosine(made: Tensor) -> Tensor:
        return (space.directions(made) * space.directions(originals)).sum(1)

    assert (cosine(path.nearest_liked_BD) > cosine(path.goal_BD) + 0.05).all()


def test_an_edit_does_not_depend_on_other_users(space: Space, history: History, originals: Tensor) -> None:
    predictor = predictor_of(space)
    alone = edit_path(predictor, history.take([0]), originals[:1], torch.Generator().manual_seed(0))
    together = edit_path(predictor, history, originals, torch.Generator().manual_seed(0))
    # Noise is drawn for all users at once, so that the first user's is the same.
    torch.testing.assert_close(alone.nearest_liked_BD, together.nearest_liked_BD[:1], atol=1e-3, rtol=1e-3)


def test_a_checkpoint_without_pictures_is_refused(space: Space, history: History, originals: Tensor) -> None:
    predictor = TrainedPredictor(
        model=make_model(space, "shared"), objective=Denoising(schedule=CosineSchedule()), sampler=Sampler(steps=2)
    )
    with pytest.raises(ValueError, match="this checkpoint has none: train the prior again"):
        path_of(predictor, history, originals)
