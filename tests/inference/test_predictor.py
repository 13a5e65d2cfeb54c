"""The trained prior as a predictor: repeatable, in its own space only, memory bounded by a chunk."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from prefprior.history import History
from prefprior.inference import predictor as module
from prefprior.inference.predictor import TrainedPredictor
from prefprior.models.diffusion.sampler import Sampler
from prefprior.models.diffusion.schedules import CosineSchedule
from prefprior.models.model import PreferenceModel
from prefprior.models.objectives.denoising import Denoising
from prefprior.models.objectives.objective import Objective
from prefprior.models.objectives.regression import Regression
from prefprior.models.scale import Whiten
from prefprior.predictor import Catalogue, Predictor
from prefprior.space import Space
from tests.models.conftest import DIM, make_history, make_model, make_prior


@pytest.fixture
def trained(space: Space) -> TrainedPredictor:
    return predictor_of(make_model(space, None))


def predictor_of(model: PreferenceModel, objective: Objective | None = None, **sampler: Any) -> TrainedPredictor:
    return TrainedPredictor(
        model=model,
        objective=objective or Denoising(schedule=CosineSchedule()),
        sampler=Sampler(**({"steps": 3} | sampler)),
    )


@pytest.fixture
def catalogue(space: Space) -> Catalogue:
    g = torch.Generator().manual_seed(7)
    return Catalogue(space, [str(i) for i in range(50)], torch.randn(50, DIM, generator=g).half())


def draw(predictor: TrainedPredictor, history: History, n: int = 4, **how: Any) -> Tensor:
    return predictor.sample(history, n, torch.Generator().manual_seed(0), **how)


def test_it_keeps_the_protocol(trained: TrainedPredictor) -> None:
    assert isinstance(trained, Predictor)


def whitened_model(space: Space, retriever: str | None = None) -> PreferenceModel:
    """Whitened by items whose dimensions are correlated."""
    g = torch.Generator().manual_seed(3)
    scale = Whiten(space=space)
    scale.fit(torch.randn(400, DIM, generator=g) @ torch.randn(DIM, DIM, generator=g))
    return make_model(space, retriever, prior=make_prior(space, scale=scale))


@pytest.mark.parametrize("retriever", [None, "shared", "cold"])
def test_a_whitened_scale_is_internal_and_saved_in_the_checkpoint(
    space: Space, catalogue: Catalogue, tmp_path: Path, retriever: str | None
) -> None:
    predictor, history = predictor_of(whitened_model(space, retriever), Regression()), make_history(3, 6)
    made = draw(predictor, history)
    predictor.save(tmp_path / "prior.safetensors")
    loaded = TrainedPredictor.load(tmp_path / "prior.safetensors")
    assert torch.equal(draw(loaded, history), made)
    assert torch.equal(loaded.rank(history, catalogue), predictor.rank(history, catalogue))


@pytest.mark.parametrize("whitened", [False, True])
def test_without_a_retriever_items_are_ranked_by_closeness_to_samples(
    space: Space, catalogue: Catalogue, whitened: bool
) -> None:
    model = whitened_model(space) if whitened else make_model(space, None)
    predictor, history = predictor_of(model, Regression(answers=1), candidates=1), make_history(3, 6)
    prior: Any = model.prior
    # Measured about the mean of the space.
    with torch.no_grad():
        prior.denoiser.leave.bias.mul_(0.2).add_(0.05)
        prior.denoiser.leave.weight.mul_(0.2)
    query = prior.scale.to_model(draw(predictor, history, n=1)[:, 0])
    items = prior.scale.to_model(catalogue.embeddings_ND.float())
    expected = torch.cosine_similarity(query[:, None], items, dim=-1)
    torch.testing.assert_close(predictor.rank(history, catalogue), expected)
    torch.testing.assert_close(predictor.score(history, catalogue.embeddings_ND), expected)


def test_ranking_by_samples_does_not_depend_on_user_chunks(
    trained: TrainedPredictor, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = make_history(5, 6)
    whole = trained.rank(history, catalogue)
    monkeypatch.setattr(module, "SAMPLES_AT_ONCE", 2 * module.RANKING_SAMPLES)
    torch.testing.assert_close(trained.rank(history, catalogue), whole, atol=1e-4, rtol=1e-4)


def test_ranking_by_samples_is_possible_with_a_retriever(space: Space, catalogue: Catalogue) -> None:
    history, model = make_history(3, 6), make_model(space)
    scoring, plain = predictor_of(model), predictor_of(PreferenceModel(prior=model.prior))
    assert (scoring.rank_by, plain.rank_by) == ("retriever", "samples")
    assert not torch.equal(scoring.rank(history, catalogue), plain.rank(history, catalogue))
    scoring.rank_by = "samples"
    assert torch.equal(scoring.rank(history, catalogue), plain.rank(history, catalogue))


def test_rank_by_retriever_needs_a_retriever(trained: TrainedPredictor) -> None:
    with pytest.raises(ValueError, match="retriever=none"):
        trained.rank_by = "retriever"


def test_cold_start_is_a_setting_of_the_retriever(space: Space) -> None:
    predictor = predictor_of(make_model(space, "cold"))
    assert predictor.cold_start is predictor.model.retriever
    predictor.rank_by = "samples"
    assert predictor.cold_start is None


def test_rank_and_top_agree_for_every_chunk_size(
    trained: TrainedPredictor, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = make_history(3, 6)
    scores = trained.rank(history, catalogue)
    assert scores.shape == (3, 50)
    monkeypatch.setattr(module, "SCORES_AT_ONCE", 3 * 7)
    torch.testing.assert_close(trained.rank(history, catalogue), scores)
    rows, best = trained.top(history, catalogue, 5, seen=True)
    torch.testing.assert_close(best, scores.topk(5).values)
    torch.testing.assert_close(scores.gather(1, rows), best)
    rows, best = trained.top(history, catalogue, 50)
    for user in range(3):
        own = set(history.items_BK[user][history.valid_BK[user]].tolist())
        kept = rows[user][best[user] > -torch.inf].tolist()
        assert own.isdisjoint(kept)
        assert len(kept) == 50 - len(own)


def test_a_catalogue_of_another_space_is_refused(trained: TrainedPredictor) -> None:
    other = Space.measure("other/space", np.eye(DIM, dtype=np.float32))
    with pytest.raises(ValueError, match="other/space"):
        trained.rank(make_history(1, 2), Catalogue(other, ["a"], torch.zeros(1, DIM)))
