"""The trained prior as a predictor: repeatable, on the shell, in its own space only, memory bounded by a chunk."""

import numpy as np
import pytest
import torch
from prefprior.models.retriever.contrastive import Contrastive

from prefprior import checkpoint
from prefprior.inference import predictor as module
from prefprior.inference.predictor import PriorPredictor
from prefprior.models.diffusion.sampler import Sampling
from prefprior.models.diffusion.schedules import Cosine
from prefprior.models.objectives.denoising import Denoising
from prefprior.models.objectives.regression import Regression
from prefprior.models.prior.in_context import InContextPrior
from prefprior.predictor import Catalogue, Predictor
from prefprior.space import Space
from tests.models.conftest import DIM, make_history, make_prior


@pytest.fixture
def trained(prior):
    return PriorPredictor(prior=prior, objective=Denoising(path=Cosine()), sampling=Sampling(steps=3))


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


def test_in_how_many_parts_it_is_worked_off_changes_nothing(trained, monkeypatch):
    history = make_history(5, 6)
    whole = draw(trained, history)
    monkeypatch.setattr(module, "DRAWS_AT_ONCE", 2 * 4 * trained.sampling.candidates)
    torch.testing.assert_close(draw(trained, history), whole, atol=1e-4, rtol=1e-4)


def test_negatives_are_what_a_hated_rating_gives(trained):
    history = make_history(3, 6)
    negatives = trained.negatives(history, 4, torch.Generator().manual_seed(0))
    assert torch.equal(negatives, draw(trained, history, rating=-1.0))
    assert not torch.allclose(negatives, draw(trained, history), atol=1e-2)


def test_steps_can_be_chosen_in_a_call_but_not_for_regression(trained, prior):
    history = make_history(3, 6)
    assert not torch.allclose(draw(trained, history, steps=9), draw(trained, history), atol=1e-3)
    regression = PriorPredictor(prior=prior, objective=Regression(), sampling=Sampling())
    assert torch.equal(draw(regression, history, steps=9), draw(regression, history))


def test_candidates_make_samples_better_by_the_prior_s_own_score(prior, space):
    objective = Denoising(path=Cosine(), rank=Contrastive())
    few, many = (
        PriorPredictor(prior=prior, objective=objective, sampling=Sampling(steps=3, candidates=c, diversity=0.0))
        for c in (1, 8)
    )
    history = make_history(5, 6)
    encoded = prior.encode_history(history)

    def score(samples):
        with torch.no_grad():
            return prior.scores(encoded, samples).mean(1)

    assert (score(draw(many, history)) > score(draw(few, history))).all()


@pytest.mark.parametrize("candidates", [1, 8])
def test_a_text_draws_samples_towards_it(trained, candidates):
    trained = PriorPredictor(
        prior=trained.prior, objective=trained.objective, sampling=Sampling(steps=3, candidates=candidates)
    )
    history, text = make_history(5, 6), torch.randn(5, DIM, generator=torch.Generator().manual_seed(2))

    def closeness(samples):
        return torch.cosine_similarity(samples, text[:, None], dim=-1).mean(1)

    assert (closeness(draw(trained, history, text_BD=text, text_weight=9.0)) > closeness(draw(trained, history))).all()


def whitened_prior(space):
    """By pictures whose dimensions go together."""
    g = torch.Generator().manual_seed(3)
    prior = make_prior(space, whitened=True)
    prior.learn_scale(torch.randn(400, DIM, generator=g) @ torch.randn(DIM, DIM, generator=g))
    return prior


def test_a_whitened_scale_is_the_networks_own_affair_and_in_the_checkpoint(space, catalogue, tmp_path):
    prior, history = whitened_prior(space), make_history(3, 6)
    predictor = PriorPredictor(prior=prior, objective=Regression(rank=None), sampling=Sampling(candidates=4))
    made = draw(predictor, history)
    torch.testing.assert_close(made.norm(dim=-1), torch.full((3, 4), space.norm))
    checkpoint.save(
        tmp_path / "prior.safetensors", prior=prior, objective=predictor.objective, sampling=predictor.sampling
    )
    loaded = checkpoint.load(tmp_path / "prior.safetensors")
    assert torch.equal(draw(loaded, history), made)
    assert torch.equal(loaded.rank(history, catalogue), predictor.rank(history, catalogue))


def test_only_what_is_whitened_learns_a_scale(space):
    with pytest.raises(ValueError, match="InContextPrior"):
        InContextPrior(space=space).learn_scale(torch.randn(9, DIM))


@pytest.mark.parametrize("whitened", [False, True])
def test_without_trained_scores_closeness_to_samples_ranks(space, catalogue, whitened):
    prior = whitened_prior(space) if whitened else make_prior(space)
    predictor = PriorPredictor(prior=prior, objective=Regression(answers=1), sampling=Sampling(candidates=1))
    history = make_history(3, 6)
    # Off the shell, and measured about the mean of the space.
    with torch.no_grad():
        prior.denoiser.leave.bias.mul_(0.2).add_(0.05)
        prior.denoiser.leave.weight.mul_(0.2)
    predictor.sampling.on_shell = False
    wanted = prior.scale.to_model(draw(predictor, history, n=1)[:, 0])
    predictor.sampling.on_shell = True
    pictures = prior.scale.to_model(catalogue.embeddings_ND.float())
    expected = torch.cosine_similarity(wanted[:, None], pictures, dim=-1)
    torch.testing.assert_close(predictor.rank(history, catalogue), expected)


def test_ranking_by_samples_in_parts_of_the_people_changes_nothing(trained, catalogue, monkeypatch):
    history = make_history(5, 6)
    whole = trained.rank(history, catalogue)
    monkeypatch.setattr(module, "DRAWS_AT_ONCE", 2 * module.RANKING_SAMPLES)
    torch.testing.assert_close(trained.rank(history, catalogue), whole, atol=1e-4, rtol=1e-4)


def test_what_has_scores_may_rank_by_its_samples_and_the_other_way_round_not(space, catalogue):
    history, sampling, prior = make_history(3, 6), Sampling(steps=3), make_prior(space)
    scoring = PriorPredictor(prior=prior, objective=Denoising(path=Cosine(), rank=Contrastive()), sampling=sampling)
    plain = PriorPredictor(prior=prior, objective=Denoising(path=Cosine()), sampling=sampling)
    assert (scoring.rank_by, plain.rank_by) == ("scores", "samples")
    assert not torch.equal(scoring.rank(history, catalogue), plain.rank(history, catalogue))
    scoring.rank_by = "samples"
    assert torch.equal(scoring.rank(history, catalogue), plain.rank(history, catalogue))
    with pytest.raises(ValueError, match="never trained"):
        plain.rank_by = "scores"


def test_new_pictures_are_the_scores_affair(space):
    prior = make_prior(space, pictures=9)
    rank = Contrastive(softmax_weight=1.0)
    sampling = Sampling(steps=3, new_share=0.1)
    predictor = PriorPredictor(prior=prior, objective=Denoising(path=Cosine(), rank=rank), sampling=sampling)
    predictor.rank_by = "samples"
    with pytest.raises(ValueError, match="rank_by=samples"):
        predictor.new_share = 0.2
    predictor.new_share = 0.0


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
