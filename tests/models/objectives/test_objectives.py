"""Objectives: invalid targets are never read, all randomness is the generator's, weights mean what they say."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from prefprior.history import PreferenceBatch
from prefprior.models.diffusion.schedules import PREDICTIONS, CosineSchedule, LinearSchedule
from prefprior.models.model import PreferenceModel
from prefprior.models.objectives.denoising import Denoising
from prefprior.models.objectives.objective import Objective
from prefprior.models.objectives.regression import Regression
from prefprior.models.prior.prior import Prior
from prefprior.space import Space
from tests.models.conftest import losses, make_batch, make_history, make_model, make_prior, total

OBJECTIVES: list[Objective] = [
    Denoising(schedule=LinearSchedule(), prediction="velocity", times="logit_normal"),
    Denoising(schedule=CosineSchedule(), prediction="v", weighting="min_snr"),
    Denoising(schedule=CosineSchedule(shift=0.5), prediction="x0"),
    Denoising(schedule=LinearSchedule(), prediction="eps", drop_history=0.0, drop_rating=0.0),
    Regression(),
    Regression(answers=1),
]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_invalid_targets_are_never_read(model: PreferenceModel, objective: Objective) -> None:
    batch = make_batch()
    spoiled = replace(
        batch,
        target_BTD=torch.where(batch.target_valid_BT[..., None], batch.target_BTD, torch.nan),
        target_rating_BT=torch.where(batch.target_valid_BT, batch.target_rating_BT, torch.nan),
    )
    clean, other = total(losses(model, objective, batch)), total(losses(model, objective, spoiled))
    assert torch.equal(clean, other)
    other.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_target_of_weight_0_is_as_good_as_invalid(model: PreferenceModel, objective: Objective) -> None:
    batch = replace(make_batch(), target_valid_BT=torch.ones(5, 3, dtype=torch.bool))
    weights_BT = torch.ones(5, 3)
    weights_BT[:, 1] = 0
    generator = torch.Generator()
    condition = objective.dropout(model.prior, batch, generator.manual_seed(0))[1].encode(
        model.prior, model.encode(batch.history).history
    )
    weighted, left_out = (
        total(objective.loss(model.prior, condition, changed, generator.manual_seed(0)))
        for changed in (replace(batch, target_weight_BT=weights_BT), replace(batch, target_valid_BT=weights_BT > 0))
    )
    torch.testing.assert_close(weighted, left_out)
    doubled = objective.loss(
        model.prior, condition, replace(batch, target_weight_BT=2 * weights_BT), generator.manual_seed(0)
    )
    torch.testing.assert_close(total(doubled), weighted)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_all_randomness_comes_from_the_generator(model: PreferenceModel, objective: Objective) -> None:
    batch = make_batch()
    first, _, again = total(losses(model, objective, batch)), torch.randn(7), total(losses(model, objective, batch))
    assert torch.equal(first, again)
    if not (isinstance(objective, Regression) and objective.answers == 1):
        assert not torch.equal(first, total(losses(model, objective, batch, seed=1)))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_batch_without_targets_has_zero_loss_and_a_finite_gradient(
    model: PreferenceModel, objective: Objective
) -> None:
    batch = make_batch()
    found = total(losses(model, objective, replace(batch, target_valid_BT=torch.zeros_like(batch.target_valid_BT))))
    assert found == 0
    found.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("retriever", [None, "shared", "own", "identity", "ensemble", "identities", "cold"])
@pytest.mark.parametrize("objective", OBJECTIVES[::4])
def test_every_parameter_has_a_gradient(space: Space, retriever: str | None, objective: Objective) -> None:
    model, batch = make_model(space, retriever), make_batch(users=16)
    history = batch.history
    history.question_BK[:, :2] = 1  # a pair, of which the first was picked
    history.ratings_BK[:, :2] = torch.tensor([1.0, -1.0])
    history.ages_BK[:, 1] = history.ages_BK[:, 0]
    total(losses(model, objective, batch)).backward()
    learning = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    assert [name for name, p in learning if p.grad is None or not p.grad.abs().sum() > 0] == []


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_min_snr_weights_the_same_error_of_x0_the_same(prediction: str) -> None:
    schedule = CosineSchedule()
    objective = Denoising(schedule=schedule, prediction=prediction, weighting="min_snr")
    t = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
    alpha, sigma = schedule.alpha_sigma(t)
    noisy = torch.randn(19, 1, dtype=torch.float64)
    # Move the network's output by a little and see how far that moves x_0.
    output = torch.randn(19, 1, dtype=torch.float64)
    moved = schedule.x0_from(prediction, output + 1e-3, noisy, t) - schedule.x0_from(prediction, output, noisy, t)
    weight_of_x0_error = objective.weight(t) * (1e-3 / moved[:, 0]) ** 2
    torch.testing.assert_close(weight_of_x0_error, (alpha / sigma).square().clamp(max=5.0), rtol=1e-6, atol=1e-9)


def test_uniform_times_are_stratified() -> None:
    g = torch.Generator().manual_seed(0)
    times = Denoising(schedule=LinearSchedule()).sample_times((50, 20), g, torch.device("cpu")).flatten().sort().values
    assert ((times - torch.linspace(0, 0.99, 1000)).abs() < 0.004).all()


def test_logit_normal_times_have_their_mean() -> None:
    objective = Denoising(schedule=LinearSchedule(), times="logit_normal", times_mean=0.5)
    times = objective.sample_times((5000,), torch.Generator().manual_seed(0), torch.device("cpu"))
    assert abs(times.logit().mean() - 0.5) < 0.05


def test_regression_trains_only_the_nearest_output(prior: Prior) -> None:
    nearest, all_alike = Regression(share_of_all=0.0), Regression(share_of_all=1.0)
    assert total(losses(prior, nearest, make_batch())) < total(losses(prior, all_alike, make_batch()))


def test_one_encoded_history_serves_all_targets_and_noise_samples(space: Space) -> None:
    prior, seen = make_prior(space), []
    prior.encoder.register_forward_hook(lambda module, args, out: seen.append(len(args[0])))
    losses(prior, Denoising(schedule=LinearSchedule(), noise_samples=7), make_batch(users=5, targets=3))
    assert seen == [5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prediction": "noise"}, "objective.prediction is 'noise'; it must be one of"),
        ({"weighting": "snr"}, "did you mean min_snr"),
        ({"times": "beta"}, "objective.times is 'beta'"),
        ({"noise_samples": 0}, "noise_samples must be at least 1"),
        ({"drop_history": 1.5}, "drop_history must be between 0 and 1"),
    ],
)
def test_invalid_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Denoising(schedule=LinearSchedule(), **arguments)


def test_a_batch_of_empty_histories_has_a_finite_loss(model: PreferenceModel) -> None:
    batch: PreferenceBatch = make_batch()
    empty = replace(make_history(5, 9), valid_BK=torch.zeros(5, 9, dtype=torch.bool))
    assert torch.isfinite(total(losses(model, OBJECTIVES[0], replace(batch, history=empty))))
