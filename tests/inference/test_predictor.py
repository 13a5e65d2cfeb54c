"""The trained prior as a predictor: repeatable, on the shell, in its own space only, memory bounded by a chunk."""

import numpy as np
import pytest
import torch

from prefprior.inference import predictor as module
from prefprior.inference.predictor import TrainedPredictor
from prefprior.models.diffusion.sampler import Sampler
from prefprior.models.diffusion.schedules import CosineSchedule
from prefprior.models.model import PreferenceModel
from prefprior.models.objectives.denoising import Denoising
from prefprior.models.objectives.regression import Regression
from prefprior.models.scale import Whiten
from prefprior.predictor import Catalogue, Predictor
from prefprior.space import Space
from tests.models.conftest import DIM, make_history, make_model, make_prior


@pytest.fixture
def trained(space):
    return predictor_of(make_model(space, None))


def predictor_of(model, objective=None, **sampler):
    return TrainedPredictor(
        model=model,
        objective=objective or Denoising(schedule=CosineSchedule()),
        sampler=Sampler(**({"steps": 3} | sampler)),
    )


@pytest.fixture
def catalogue(space):
    g = torch.Generator().manual_seed(7)
    return Catalogue(space, [str(i) for i in range(50)], torch.randn(50, DIM, generator=g).half())


def draw(predictor, history, n=4, **how):
    return predictor.sample(history, n, torch.Generator().manual_seed(0), **how)


def test_it_keeps_the_protocol(trained):
    assert isinstance(trained, Predictor)


def test_samples_are_repeatable_diverse_and_on_the_shell(trained):
    history = make_history(3, 6)
    samples = draw(trained, history)
    assert samples.shape == (3, 4, DIM)
    assert torch.equal(samples, draw(trained, history))
    torch.testing.assert_close(samples.norm(dim=-1), torch.full((3, 4), trained.space.norm))
    assert torch.pdist(samples[0]).min() > 0.1


def test_sampling_is_independent_of_chunk_size(trained, monkeypatch):
    history = make_history(5, 6)
    whole = draw(trained, history)
    monkeypatch.setattr(module, "DRAWS_AT_ONCE", 2 * 4 * trained.sampler.candidates)
    torch.testing.assert_close(draw(trained, history), whole, atol=1e-4, rtol=1e-4)


def test_negatives_are_what_a_hated_rating_gives(trained):
    history = make_history(3, 6)
    negatives = trained.negatives(history, 4, torch.Generator().manual_seed(0))
    assert torch.equal(negatives, draw(trained, history, rating=-1.0))
    assert not torch.allclose(negatives, draw(trained, history), atol=1e-2)


def test_steps_can_be_chosen_in_a_call_but_not_for_regression(trained):
    history = make_history(3, 6)
    assert not torch.allclose(draw(trained, history, steps=9), draw(trained, history), atol=1e-3)
    regression = predictor_of(trained.model, Regression())
    assert torch.equal(draw(regression, history, steps=9), draw(regression, history))


def test_candidates_make_samples_better_by_the_retrievers_score(model):
    few, many = (predictor_of(model, candidates=c, diversity=0.0) for c in (1, 8))
    history = make_history(5, 6)
    better = many.score(history, draw(many, history)).mean(1) > few.score(history, draw(few, history)).mean(1)
    assert better.all()


@pytest.mark.parametrize("candidates", [1, 8])
def test_a_text_draws_samples_towards_it(trained, candidates):
    trained = predictor_of(trained.model, candidates=candidates)
    history, text = make_history(5, 6), torch.randn(5, DIM, generator=torch.Generator().manual_seed(2))

    def closeness(samples):
        return torch.cosine_similarity(samples, text[:, None], dim=-1).mean(1)

    assert (closeness(draw(trained, history, text_BD=text, text_weight=9.0)) > closeness(draw(trained, history))).all()


def whitened_model(space, retriever=None):
    """Whitened by items whose dimensions are correlated."""
    g = torch.Generator().manual_seed(3)
    scale = Whiten(space=space)
    scale.fit(torch.randn(400, DIM, generator=g) @ torch.randn(DIM, DIM, generator=g))
    return make_model(space, retriever, prior=make_prior(space, scale=scale))


@pytest.mark.parametrize("retriever", [None, "shared", "cold"])
def test_a_whitened_scale_is_internal_and_in_the_checkpoint(space, catalogue, tmp_path, retriever):
    predictor, history = predictor_of(whitened_model(space, retriever), Regression()), make_history(3, 6)
    made = draw(predictor, history)
    torch.testing.assert_close(made.norm(dim=-1), torch.full((3, 4), space.norm))
    predictor.save(tmp_path / "prior.safetensors")
    loaded = TrainedPredictor.load(tmp_path / "prior.safetensors")
    assert torch.equal(draw(loaded, history), made)
    assert torch.equal(loaded.rank(history, catalogue), predictor.rank(history, catalogue))


@pytest.mark.parametrize("whitened", [False, True])
def test_without_a_retriever_closeness_to_samples_ranks(space, catalogue, whitened):
    model = whitened_model(space) if whitened else make_model(space, None)
    predictor, prior, history = (
        predictor_of(model, Regression(answers=1), candidates=1),
        model.prior,
        make_history(3, 6),
    )
    # Off the shell, and measured about the mean of the space.
    with torch.no_grad():
        prior.denoiser.leave.bias.mul_(0.2).add_(0.05)
        prior.denoiser.leave.weight.mul_(0.2)
    predictor.sampler.on_shell = False
    query = prior.scale.to_model(draw(predictor, history, n=1)[:, 0])
    predictor.sampler.on_shell = True
    items = prior.scale.to_model(catalogue.embeddings_ND.float())
    expected = torch.cosine_similarity(query[:, None], items, dim=-1)
    torch.testing.assert_close(predictor.rank(history, catalogue), expected)
    torch.testing.assert_close(predictor.score(history, catalogue.embeddings_ND), expected)


def test_ranking_by_samples_in_parts_of_the_people_changes_nothing(trained, catalogue, monkeypatch):
    history = make_history(5, 6)
    whole = trained.rank(history, catalogue)
    monkeypatch.setattr(module, "DRAWS_AT_ONCE", 2 * module.RANKING_SAMPLES)
    torch.testing.assert_close(trained.rank(history, catalogue), whole, atol=1e-4, rtol=1e-4)


def test_with_a_retriever_ranking_may_go_by_samples(space, catalogue):
    history, model = make_history(3, 6), make_model(space)
    scoring, plain = predictor_of(model), predictor_of(PreferenceModel(prior=model.prior))
    assert (scoring.rank_by, plain.rank_by) == ("retriever", "samples")
    assert not torch.equal(scoring.rank(history, catalogue), plain.rank(history, catalogue))
    scoring.rank_by = "samples"
    assert torch.equal(scoring.rank(history, catalogue), plain.rank(history, catalogue))


def test_without_a_retriever_none_can_rank(trained):
    with pytest.raises(ValueError, match="retriever=none"):
        trained.rank_by = "retriever"


def test_cold_start_is_the_retrievers(space):
    predictor = predictor_of(make_model(space, "cold"))
    assert predictor.cold_start is predictor.model.retriever
    predictor.rank_by = "samples"
    assert predictor.cold_start is None


def test_rank_and_top_agree_whatever_the_chunk(trained, catalogue, monkeypatch):
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


def test_a_catalogue_of_another_space_is_refused(trained):
    other = Space.measure("other/space", np.eye(DIM, dtype=np.float32))
    with pytest.raises(ValueError, match="other/space"):
        trained.rank(make_history(1, 2), Catalogue(other, ["a"], torch.zeros(1, DIM)))
