"""What a prior may know beside a history: who somebody is, and what a text says."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from prefprior.history import History, PreferenceBatch
from prefprior.inference.predictor import TrainedPredictor
from prefprior.models.diffusion.guidance import Guidance
from prefprior.models.diffusion.sampler import Sampler
from prefprior.models.diffusion.schedules import LinearSchedule
from prefprior.models.model import PreferenceModel
from prefprior.models.objectives.condition_dropout import ConditionDropout
from prefprior.models.objectives.denoising import Denoising
from prefprior.models.objectives.objective import Objective
from prefprior.models.objectives.regression import Regression
from prefprior.models.prior.in_context import InContextPrior
from prefprior.models.prior.network import PriorNetwork
from prefprior.models.prior.user_ids import UserIds
from prefprior.space import Space
from tests.models.conftest import DIM, losses, make_batch, make_history, make_prior, total

NEVER = {"drop_history": 0.0, "drop_rating": 0.0, "drop_user": 0.0, "drop_text": 0.0}


def with_texts(batch: PreferenceBatch, seed: int = 3) -> PreferenceBatch:
    texts = torch.randn(*batch.target_BTD.shape, generator=torch.Generator().manual_seed(seed))
    return replace(batch, target_text_BTD=texts)


def drawn(prior: PriorNetwork, history: History, text_BD: Tensor | None = None, **guidance: float) -> Tensor:
    predictor = TrainedPredictor(
        model=PreferenceModel(prior=prior),
        objective=Denoising(schedule=LinearSchedule(), prediction="velocity"),
        sampler=Sampler(steps=3, candidates=1),
    )
    g = torch.Generator().manual_seed(0)
    sampler = predictor.sampler.changed(guidance=Guidance(**guidance))
    return predictor.sample(history, 2, g, text_BD=text_BD, sampler=sampler)


def told(prior: Any) -> Any:
    """Words start where a Linear starts; make what they say loud enough to be told from rounding."""
    torch.nn.init.normal_(prior.text_proj.weight, std=0.5)
    return prior


def test_known_users_have_a_row_each_and_others_none() -> None:
    known = UserIds(5)
    known.learn(["ann", "bob", "cyn"])
    rows = known(["cyn", "ann", "dan", "", "bob"])
    assert sorted(rows[[0, 1, 4]].tolist()) == [0, 1, 2]
    assert rows[[2, 3]].tolist() == [-1, -1]


def test_too_few_user_ids_are_refused_with_the_number_needed() -> None:
    with pytest.raises(ValueError, match=r"prior\.user_ids=3 or more"):
        UserIds(2).learn(["ann", "bob", "cyn"])


@pytest.mark.parametrize("read_history", [True, False])
def test_user_ids_change_predictions_of_known_users_only(space: Space, read_history: bool) -> None:
    prior: Any = make_prior(space, user_ids=4, read_history=read_history)
    history = make_history(4, 6)
    before = drawn(prior, history)
    prior.known_users.learn(["u1", "u2"])
    changed = (drawn(prior, history) != before).flatten(1).any(1)
    assert changed.tolist() == [False, True, True, False]


def test_an_unknown_user_is_predicted_as_without_id(space: Space) -> None:
    """A prior with rows for people says of strangers what it would say had it none: their token is not there."""
    prior: Any = make_prior(space, user_ids=4)
    prior.known_users.learn(["somebody else"])
    history = make_history(3, 6)
    torch.testing.assert_close(drawn(prior, history), drawn(prior, replace(history, users=[""] * 3)))


def test_dropping_a_history_also_drops_the_user_id(space: Space) -> None:
    prior: Any = make_prior(space, user_ids=8)
    prior.known_users.learn([f"u{i}" for i in range(5)])
    batch = make_batch()
    dropout = ConditionDropout(history=1.0, rating=0.0, user=0.0, text=0.0)
    history, _ = dropout(prior, batch, torch.Generator().manual_seed(0))
    null = prior.encode_history(batch.history.empty())
    torch.testing.assert_close(prior.encode_history(history).readouts_BRW, null.expand(5).readouts_BRW)


@pytest.mark.parametrize("objective", [Denoising(schedule=LinearSchedule(), **NEVER), Regression(**NEVER)])
def test_user_ids_and_texts_have_gradients(space: Space, objective: Objective) -> None:
    prior = told(make_prior(space, user_ids=8, text=True))
    prior.known_users.learn([f"u{i}" for i in range(5)])
    total(losses(prior, objective, with_texts(make_batch()))).backward()
    assert prior.encoder.user.weight.grad[:5].any(1).all()
    assert prior.text_proj.weight.grad.any()


def test_text_guidance_scales_the_effect_of_a_text(space: Space) -> None:
    prior, history = told(make_prior(space, text=True)), make_history(3, 6)
    text = torch.randn(3, DIM, generator=torch.Generator().manual_seed(1))
    without, with_text = drawn(prior, history), drawn(prior, history, text)
    apart = (with_text - without).norm(dim=-1)
    assert (apart > 0.1).all()
    # At 0 only what guidance does to lengths is left of it.
    assert ((drawn(prior, history, text, text=0.0) - without).norm(dim=-1) < 0.5 * apart).all()
    assert ((drawn(prior, history, text, text=3.0) - without).norm(dim=-1) > apart).float().mean() > 0.5
    torch.testing.assert_close(drawn(prior, history, 7 * text), with_text, atol=1e-4, rtol=1e-4)


def test_a_missing_text_equals_a_dropped_text(space: Space) -> None:
    prior, batch = told(make_prior(space, text=True)), with_texts(make_batch())
    silent = replace(batch, target_text_BTD=torch.zeros_like(batch.target_text_BTD))
    objective = Denoising(schedule=LinearSchedule(), **NEVER)
    found = [total(losses(prior, objective, b)) for b in (silent, batch)]
    assert found[0] != found[1]
    history, conditions = objective.dropout(prior, silent, torch.Generator().manual_seed(0))
    condition = conditions.encode(prior, prior.encode_history(history))
    wordless = prior.condition(prior.encode_history(batch.history), silent.target_rating_BT)
    torch.testing.assert_close(condition.modulation_BCM, wordless.modulation_BCM)


def test_for_a_prior_without_texts_a_text_selects_candidates(space: Space) -> None:
    history = make_history(2, 5)
    text = torch.randn(2, DIM, generator=torch.Generator().manual_seed(1))
    assert drawn(make_prior(space), history, text).shape == (2, 2, DIM)
    with pytest.raises(ValueError, match=r"prior\.text=true"):
        make_prior(space).condition(make_prior(space).encode_history(history), torch.ones(2, 1), None, text[:, None])


@pytest.mark.parametrize("name", ["history", "rating", "user", "text"])
def test_dropout_probabilities_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"drop_{name} must be between 0 and 1"):
        Regression(**{f"drop_{name}": 1.5})


def test_the_in_context_prior_is_conditioned_on_texts(space: Space) -> None:
    history = make_history(3, 6)
    text = torch.randn(3, DIM, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    reads = InContextPrior(space=space, width=32, depth=2, heads=4, context=8, text=True).eval()
    assert ((drawn(reads, history, text) - drawn(reads, history)).norm(dim=-1) > 1e-3).all()
    objective = Denoising(schedule=LinearSchedule(), **NEVER)
    total(losses(reads, objective, with_texts(make_batch()))).backward()
    embedding_proj: Any = reads.network.embedding_proj
    assert embedding_proj.weight.grad.any()
    with pytest.raises(ValueError, match=r"prior\.text=true"):
        deaf = InContextPrior(space=space, width=32, depth=2, heads=4, context=8)
        deaf.condition(deaf.encode_history(history), torch.ones(3, 1), None, text[:, None])


def test_a_batch_may_mix_users_with_and_without_text(space: Space) -> None:
    prior, history = told(make_prior(space, text=True)), make_history(3, 6)
    text = torch.randn(3, DIM, generator=torch.Generator().manual_seed(1))
    text[1] = 0
    changed = ((drawn(prior, history, text) - drawn(prior, history)).norm(dim=-1) > 1e-3).all(1)
    assert changed.tolist() == [True, False, True]
    with pytest.raises(ValueError, match="a row for each of 3 users"):
        drawn(prior, history, text[:1])
