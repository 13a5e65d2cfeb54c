"""Samples of the trained predictor: repeatable, as long as pictures, the best of their candidates, no near-copies."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from prefprior.history import History
from prefprior.inference import predictor as module
from prefprior.inference.predictor import TrainedPredictor
from prefprior.inference.selection import TEXT_CANDIDATES, similarity_to_rated
from prefprior.models.diffusion.guidance import Guidance
from prefprior.models.diffusion.sampler import Sampler
from prefprior.models.diffusion.schedules import CosineSchedule
from prefprior.models.diffusion.solvers import Ancestral
from prefprior.models.model import EncodedUsers
from prefprior.models.objectives.denoising import Denoising
from prefprior.models.objectives.objective import Objective
from prefprior.models.objectives.regression import Regression
from prefprior.space import Space
from tests.models.conftest import DIM, make_history, make_model


def predictor_of(space: Space, retriever: str | None, objective: Objective | None = None) -> TrainedPredictor:
    objective = objective or Denoising(schedule=CosineSchedule())
    return TrainedPredictor(model=make_model(space, retriever), objective=objective, sampler=Sampler(steps=3))


@pytest.fixture
def trained(space: Space) -> TrainedPredictor:
    """Without a retriever: nothing scores its candidates."""
    return predictor_of(space, None)


@pytest.fixture
def scoring(space: Space) -> TrainedPredictor:
    return predictor_of(space, "shared")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sample(predictor: TrainedPredictor, history: History, n: int = 4, **how: object) -> Tensor:
    return predictor.sample(history, n, seeded(), **how)


def texts(users: int) -> Tensor:
    return torch.randn(users, DIM, generator=seeded(2))


def closeness(samples: Tensor, text_BD: Tensor) -> Tensor:
    return torch.cosine_similarity(samples, text_BD[:, None], dim=-1).mean(1)


def test_samples_are_repeatable(trained: TrainedPredictor) -> None:
    history = make_history(3, 6)
    assert torch.equal(sample(trained, history), sample(trained, history))


@pytest.mark.parametrize("guidance", [Guidance(), Guidance(history=6.0, rating=3.0)])
@pytest.mark.parametrize("length", [0.5, 50.0])
def test_samples_are_as_long_as_pictures_whatever_the_guidance(
    trained: TrainedPredictor, guidance: Guidance, length: float
) -> None:
    trained.model.lengths.learn(normalize(torch.randn(500, DIM, generator=seeded(3)), dim=1) * length)
    norms = sample(trained, make_history(3, 6), sampler=Sampler(steps=3, guidance=guidance)).norm(dim=-1)
    torch.testing.assert_close(norms, torch.full((3, 4), length))


def test_samples_of_one_user_differ(trained: TrainedPredictor) -> None:
    assert torch.pdist(sample(trained, make_history(3, 6))[0]).min() > 0.1


@pytest.mark.parametrize(("bound", "value"), [("SAMPLES_AT_ONCE", 32), ("TOKENS_AT_ONCE", 12)])
def test_samples_do_not_depend_on_the_chunk_size(
    trained: TrainedPredictor, monkeypatch: pytest.MonkeyPatch, bound: str, value: int
) -> None:
    history = make_history(5, 6)
    whole = sample(trained, history)
    monkeypatch.setattr(module, bound, value)
    torch.testing.assert_close(sample(trained, history), whole, atol=1e-4, rtol=1e-4)


def test_long_histories_are_sampled_for_fewer_users_at_once(
    trained: TrainedPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded, encode = [], trained.model.encode

    def noting(history: History) -> EncodedUsers:
        encoded.append(len(history))
        return encode(history)

    monkeypatch.setattr(module, "TOKENS_AT_ONCE", 12)
    monkeypatch.setattr(trained.model, "encode", noting)
    sample(trained, make_history(5, 6))
    assert max(encoded) == 2


def test_a_stochastic_solver_is_repeatable(trained: TrainedPredictor) -> None:
    history, sampler = make_history(3, 6), Sampler(solver=Ancestral(), steps=3)
    assert torch.equal(sample(trained, history, sampler=sampler), sample(trained, history, sampler=sampler))


def test_negatives_are_samples_for_the_lowest_rating(trained: TrainedPredictor) -> None:
    history = make_history(3, 6)
    negatives = trained.negatives(history, 4, seeded())
    assert torch.equal(negatives, sample(trained, history, rating=-1.0))
    assert not torch.allclose(negatives, sample(trained, history), atol=1e-2)


def test_a_sampler_can_be_passed_per_call(trained: TrainedPredictor) -> None:
    history, own = make_history(3, 6), Sampler(steps=9, guidance=Guidance(history=2.0))
    other = TrainedPredictor(model=trained.model, objective=trained.objective, sampler=own)
    assert torch.equal(sample(trained, history, sampler=own), sample(other, history))
    assert not torch.allclose(sample(trained, history, sampler=own), sample(trained, history), atol=1e-3)


def test_regression_samples_in_one_step_with_any_sampler(space: Space) -> None:
    history, regression = make_history(3, 6), predictor_of(space, None, Regression())
    assert torch.equal(sample(regression, history, sampler=Sampler(steps=9)), sample(regression, history))


def test_candidates_make_samples_score_higher(scoring: TrainedPredictor) -> None:
    history = make_history(5, 6)
    few, many = (
        sample(scoring, history, sampler=Sampler(steps=3, candidates=c, diversity=0.0)) for c in (1, 8)
    )  # fmt: skip
    assert (scoring.score(history, many).mean(1) > scoring.score(history, few).mean(1)).all()


def test_the_highest_score_comes_first(scoring: TrainedPredictor) -> None:
    history = make_history(5, 6)
    scores_Bn = scoring.score(history, sample(scoring, history, sampler=Sampler(steps=3, diversity=0.0)))
    assert (scores_Bn.diff(dim=1) <= 1e-6).all()


@pytest.mark.parametrize("candidates", [1, 8])
def test_a_text_selects_samples_near_to_it(trained: TrainedPredictor, candidates: int) -> None:
    history, sampler, text_BD = make_history(5, 6), Sampler(steps=3, candidates=candidates), texts(5)
    plain = sample(trained, history, sampler=sampler)
    told = sample(trained, history, sampler=sampler, text_BD=text_BD, text_weight=1.0)
    assert (closeness(told, text_BD) > closeness(plain, text_BD)).all()


def test_with_text_weight_0_the_score_alone_selects(scoring: TrainedPredictor) -> None:
    history = make_history(3, 6)
    sampler = Sampler(steps=3, candidates=TEXT_CANDIDATES)
    plain = sample(scoring, history, sampler=sampler)
    assert torch.equal(plain, sample(scoring, history, sampler=sampler, text_BD=texts(3), text_weight=0.0))


def test_a_text_weight_above_1_is_refused(trained: TrainedPredictor) -> None:
    with pytest.raises(ValueError, match=r"between 0 .* and 1 .* got 1\.5"):
        sample(trained, make_history(3, 6), text_BD=texts(3), text_weight=1.5)


def test_texts_of_another_shape_are_refused(trained: TrainedPredictor) -> None:
    with pytest.raises(ValueError, match=r"\(2, 12\); it must have a row for each of 3 users"):
        sample(trained, make_history(3, 6), text_BD=texts(2))


def median_similarity(predictor: TrainedPredictor, history: History) -> float:
    raw_BMD = sample(predictor, history, n=64, sampler=Sampler(steps=3, candidates=1))
    return float(similarity_to_rated(predictor.space, raw_BMD, history).median())


def test_near_copies_are_not_selected(trained: TrainedPredictor) -> None:
    history = make_history(1, 6)
    threshold = median_similarity(trained, history)
    made_BnD = sample(trained, history, copy_threshold=threshold)
    assert (similarity_to_rated(trained.space, made_BnD, history) < threshold).all()


def test_near_copies_are_counted(trained: TrainedPredictor) -> None:
    history = make_history(1, 6)
    made = trained.select(history, 4, seeded(), copy_threshold=median_similarity(trained, history))
    assert 0 < int(made.near_copies_B) < int(made.proposed_B)


def test_without_near_copies_a_threshold_changes_nothing(scoring: TrainedPredictor) -> None:
    history = make_history(3, 6)
    assert torch.equal(sample(scoring, history), sample(scoring, history, copy_threshold=1.0))
