"""Training the generator for retrieval: against plain arithmetic, and what it may and may not move."""

from typing import Any

import pytest
import torch
from torch.nn.functional import normalize

from prefprior.models.diffusion.schedules import LinearSchedule
from prefprior.models.model import PreferenceModel
from prefprior.models.objectives.denoising import Denoising
from prefprior.models.objectives.distillation import AnswerContrast, RankingDistillation
from prefprior.models.objectives.regression import Regression
from prefprior.models.prior.prior import Prior
from prefprior.models.retriever.losses import ContrastiveLoss
from prefprior.models.retriever.negatives import Negatives
from prefprior.models.retriever.retriever import RetrieverOutput
from prefprior.space import Space
from tests.models.conftest import DIM, losses, make_batch, make_model, make_module, make_retriever, training_data


class FixedAnswer:
    """An objective whose answer is given."""

    def __init__(self, answer_BD: torch.Tensor) -> None:
        self.answer_BD = answer_BD

    def mean_answer(self, *_: Any) -> torch.Tensor:
        return self.answer_BD


def retrieved(model: PreferenceModel, batch: Any) -> RetrieverOutput:
    assert model.retriever is not None
    tokens = model.encode(batch.history).tokens_BIW
    assert tokens is not None
    return model.retriever.training_step(tokens, batch, torch.Generator().manual_seed(0))


def test_contrast_trains_the_generator_and_not_the_retriever(space: Space) -> None:
    model = make_model(space)
    found = losses(model, Regression(), make_batch(users=16), distillation=AnswerContrast())
    assert model.retriever is not None
    answers = list(model.prior.denoiser.leave.parameters())
    grads = torch.autograd.grad(found["answer"], [*answers, *model.retriever.parameters()], allow_unused=True)
    assert [g is None for g in grads] == [False] * len(answers) + [True] * (len(grads) - len(answers))


def test_the_gradient_of_a_zero_output_is_finite(prior: Prior) -> None:
    torch.nn.init.zeros_(prior.denoiser.leave.weight)
    torch.nn.init.zeros_(prior.denoiser.leave.bias)
    losses(prior, Regression(answers=1), make_batch(users=16), distillation=AnswerContrast())["answer"].backward()
    grad = prior.denoiser.leave.bias.grad
    assert grad is not None
    assert 0 < grad.norm() < 100


def test_contrast_is_lower_if_the_output_is_the_target(prior: Prior) -> None:
    batch = make_batch(users=8, targets=1)
    batch.target_rating_BT.abs_()
    target_BD = prior.scale.to_model(batch.target_BTD[:, 0])
    at, away = (
        AnswerContrast(temperature=0.1).loss(FixedAnswer(a), prior, None, batch, None, torch.Generator())["answer"]
        for a in (target_BD, -target_BD)
    )
    assert at < away


@pytest.mark.parametrize("count", [0, 5, 50], ids=["in-batch", "sampled", "whole catalogue"])
def test_distillation_agrees_with_plain_arithmetic(space: Space, count: int) -> None:
    """Cross-entropy of the answer's softmax to the retriever's, over what the history does not like."""
    loss = ContrastiveLoss(negatives=Negatives(count=count))
    model, batch = make_model(space, make_retriever(space, "shared", loss=loss)), make_batch(users=16)
    model.prepare(training_data(space, torch.randn(50, DIM, generator=torch.Generator().manual_seed(0)), range(1, 51)))
    output, answer_BD = retrieved(model, batch), torch.randn(16, DIM, requires_grad=True)
    distillation = RankingDistillation(weight=2.0, temperature=0.1, teacher_temperature=0.5)
    found = distillation.loss(FixedAnswer(answer_BD), model.prior, None, batch, output, torch.Generator())["answer"]

    candidates, expected = output.candidates, []
    raw_ND = torch.nan_to_num(candidates.raw_ND)
    log_q_N = torch.zeros(len(raw_ND)) if candidates.log_q_N is None else candidates.log_q_N
    direction_ND = normalize(model.prior.scale.to_model(raw_ND), dim=-1)
    for user in range(16):
        liked = set(batch.history.items_BK[user][batch.history.liked_BK[user]].tolist())
        items = candidates.items_N.tolist()
        kept = [n for n in range(len(raw_ND)) if candidates.exists_N[n] and (items[n] < 0 or items[n] not in liked)]
        teacher = (output.score_BN[user] / 0.5 - log_q_N)[kept].softmax(0)
        student = (direction_ND @ normalize(answer_BD[user], dim=-1) / 0.1 - log_q_N)[kept].log_softmax(0)
        expected.append(-(teacher * student).sum())
    torch.testing.assert_close(found, 2 * torch.stack(expected).mean(), rtol=1e-4, atol=1e-5)
    assert torch.autograd.grad(found, answer_BD)[0].any()


def test_distillation_does_not_train_its_teacher(space: Space) -> None:
    model = make_model(space)
    found = losses(model, Regression(), make_batch(users=16), distillation=RankingDistillation())["answer"]
    assert model.retriever is not None
    grads = torch.autograd.grad(found, list(model.retriever.parameters()), allow_unused=True)
    assert all(g is None for g in grads)


def test_distillation_without_candidates_has_zero_loss_and_a_finite_gradient(space: Space) -> None:
    model, batch = make_model(space), make_batch(users=2, targets=1)
    batch.target_valid_BT[:] = False
    output, answer_BD = retrieved(model, batch), torch.randn(2, DIM, requires_grad=True)
    found = RankingDistillation().loss(FixedAnswer(answer_BD), model.prior, None, batch, output, torch.Generator())
    assert found["answer"] == 0
    assert not torch.autograd.grad(found["answer"], answer_BD)[0].any()


def test_distillation_needs_a_retriever(space: Space) -> None:
    with pytest.raises(ValueError, match="distillation=targets"):
        make_module(make_model(space, None), Regression(), RankingDistillation())


def test_distillation_needs_a_teacher_with_a_softmax(space: Space) -> None:
    pairs = ContrastiveLoss(softmax_weight=0.0)
    with pytest.raises(ValueError, match="softmax_weight=0 does not train one"):
        make_module(make_model(space, make_retriever(space, loss=pairs)), Regression(), RankingDistillation())


def test_distillation_needs_a_one_step_objective(space: Space) -> None:
    with pytest.raises(ValueError, match="objective=regression"):
        make_module(make_model(space), Denoising(schedule=LinearSchedule()), AnswerContrast())


@pytest.mark.parametrize("arguments", [{"temperature": 0.0}, {"weight": 0.0}, {"teacher_temperature": -1.0}])
def test_invalid_arguments_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        RankingDistillation(**arguments)
