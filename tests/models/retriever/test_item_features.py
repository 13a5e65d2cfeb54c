"""Recognition: near pictures are told apart by the spread that was asked for, and checkpoints keep them."""

from dataclasses import replace

import pytest
import torch
from prefprior.models.retriever.contrastive import Contrastive

from prefprior import checkpoint
from prefprior.models.diffusion.sampler import Sampling
from prefprior.models.objectives.regression import Regression
from prefprior.models.retriever.item_features import FourierFeatures
from tests.models.conftest import DIM, make_history, make_prior
from tests.models.prior.test_prior import outputs


@pytest.mark.parametrize("spread", [0.5, 1.0, 2.0])
def test_products_are_a_gaussian_kernel(spread):
    # cos a cos b + sin a sin b averages to exp(-spread^2 |x - y|^2 / 2D) (Rahimi & Recht 2007, theorem of Bochner).
    torch.manual_seed(0)
    features = FourierFeatures(dim=DIM, frequencies=20000, spread=spread)
    x = torch.randn(6, DIM)
    waves = features(x)[:, DIM:]
    found = waves @ waves.T / 20000
    torch.testing.assert_close(found, (-(spread**2) * torch.cdist(x, x) ** 2 / (2 * DIM)).exp(), atol=0.03, rtol=0)


def test_a_checkpoint_brings_its_frequencies(space, tmp_path):
    prior = make_prior(space, frequencies=16)
    path = tmp_path / "prior.safetensors"
    checkpoint.save(path, prior=prior, objective=Regression(rank=Contrastive()), sampling=Sampling())
    torch.manual_seed(5)
    loaded = checkpoint.load(path).prior
    history = make_history(3, 6)
    assert torch.equal(outputs(loaded, history), outputs(prior, history))


def test_padding_with_frequencies_changes_nothing_even_if_it_is_nan(space):
    prior, history = make_prior(space, frequencies=16), make_history(4, 9)
    spoiled = make_history(4, 9)
    spoiled.embeddings_BKD[~spoiled.valid_BK] = torch.nan
    assert torch.equal(outputs(prior, spoiled), outputs(prior, history))


def test_what_is_recognised_is_learned_even_where_scores_are_not(space):
    prior = make_prior(space, frequencies=16)
    prior.scores.freeze()
    learns = {name for name, p in prior.named_parameters() if p.requires_grad}
    assert any(name.startswith("scores.members.0.recognition.layer") for name in learns)
    assert not any(name.startswith("scores.members.0.item_tower") for name in learns)


def test_what_a_person_looks_for_is_told_by_the_pictures_alone_and_of_nobody_nothing(space):
    prior, history = make_prior(space, frequencies=16, people=5), make_history(3, 5)
    prior.learn_people(["u0", "u1", "u2"])
    items = torch.randn(6, DIM, generator=torch.Generator().manual_seed(0))
    stranger = replace(history, users=["x", "y", "z"], ages_BK=history.ages_BK * 9)
    told, untold = (prior.encode_history(h) for h in (history, stranger))
    torch.testing.assert_close(prior.scores(told, items), prior.scores(untold, items))
    assert not torch.allclose(told.readouts_BRW[:, 0], untold.readouts_BRW[:, 0], atol=1e-3)
    nobody = prior.null_history(history)
    (member,) = prior.scores.members
    assert torch.equal(prior.scores(nobody, items)[0], member.items(items)[1] + torch.tensor(3.0).log())


def test_a_dislike_is_recognised_as_the_opposite(space):
    (recognition,), history = make_prior(space, frequencies=16).scores.recognitions, make_history(3, 5)
    turned = replace(history, ratings_BK=-history.ratings_BK)
    assert torch.allclose(recognition.of_history(turned), -recognition.of_history(history))
    nobody = replace(history, valid_BK=torch.zeros_like(history.valid_BK))
    assert not recognition.of_history(nobody).any()


@pytest.mark.parametrize("changes", [{"frequencies": -1}, {"frequencies": 4, "frequency_spread": 0.0}])
def test_what_cannot_be_is_refused(space, changes):
    with pytest.raises(ValueError, match="frequenc"):
        make_prior(space, **changes)
