"""Item identity: similar items are told apart by the bandwidth asked for, and users are described by items alone."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from prefprior.inference.predictor import TrainedPredictor
from prefprior.models.diffusion.sampler import Sampler
from prefprior.models.objectives.regression import Regression
from prefprior.models.retriever.item_features import FourierFeatures
from prefprior.models.retriever.item_identity import ItemIdentity
from prefprior.space import Space
from tests.models.conftest import DIM, make_history, make_model, make_retriever


def items() -> torch.Tensor:
    return torch.randn(6, DIM, generator=torch.Generator().manual_seed(0))


def identity(space: Space) -> ItemIdentity:
    torch.manual_seed(0)
    made = make_retriever(space, "identity")
    assert isinstance(made, ItemIdentity)
    return made.eval()


@pytest.mark.parametrize("bandwidth", [0.5, 1.0, 2.0])
def test_products_of_features_approximate_a_gaussian_kernel(bandwidth: float) -> None:
    # cos a cos b + sin a sin b averages to exp(-bandwidth^2 |x - y|^2 / 2D) (Rahimi & Recht 2007, Bochner's theorem).
    torch.manual_seed(0)
    features = FourierFeatures(dim=DIM, frequencies=20000, bandwidth=bandwidth)
    x = torch.randn(6, DIM)
    waves = features(x)[:, DIM:]
    found = waves @ waves.T / 20000
    torch.testing.assert_close(found, (-(bandwidth**2) * torch.cdist(x, x) ** 2 / (2 * DIM)).exp(), atol=0.03, rtol=0)


def test_a_checkpoint_holds_its_frequencies(space: Space, tmp_path: Path) -> None:
    predictor = TrainedPredictor(model=make_model(space, "identity"), objective=Regression(), sampler=Sampler())
    predictor.save(tmp_path / "prior.safetensors")
    torch.manual_seed(5)
    loaded = TrainedPredictor.load(tmp_path / "prior.safetensors")
    history = make_history(3, 6)
    assert torch.equal(loaded.score(history, items()), predictor.score(history, items()))


def test_padding_has_no_effect_even_if_it_is_nan(space: Space) -> None:
    retriever, history, spoiled = identity(space), make_history(4, 9), make_history(4, 9)
    spoiled.embeddings_BKD[~spoiled.valid_BK] = torch.nan
    one, other = retriever.user_tokens(history), retriever.user_tokens(spoiled)
    assert one is not None
    assert torch.equal(one, other)


def test_user_features_depend_only_on_items_and_ratings(space: Space) -> None:
    retriever, history = identity(space), make_history(3, 5)
    other = replace(history, users=["x", "y", "z"], ages_BK=history.ages_BK * 9)
    assert torch.equal(retriever.user_tokens(history), retriever.user_tokens(other))


def test_for_an_empty_history_the_score_is_the_popularity_bias(space: Space) -> None:
    retriever = identity(space)
    tokens = retriever.user_tokens(make_history(3, 5).empty())
    assert tokens is not None
    assert torch.equal(retriever.score(tokens, items())[0], retriever.items(items())[1])


def test_a_dislike_has_the_opposite_sign_of_a_like(space: Space) -> None:
    features, history = identity(space).features, make_history(3, 5)
    negated = replace(history, ratings_BK=-history.ratings_BK)
    torch.testing.assert_close(features.of_history(negated), -features.of_history(history))


def test_user_tokens_condition_the_generator(space: Space) -> None:
    model, history = make_model(space, "identity"), make_history(3, 5)
    plain = model.prior.encode_history(history)
    conditioned = model.encode(history).history
    assert not torch.allclose(conditioned.readouts_BRW, plain.readouts_BRW, atol=1e-3)
    assert conditioned.valid_BN.shape[1] == plain.valid_BN.shape[1] + 1


@pytest.mark.parametrize("changes", [{"frequencies": 0}, {"bandwidth": 0.0}, {"tokens": 0}, {"dropout": 1.0}])
def test_invalid_arguments_are_refused(space: Space, changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        make_retriever(space, "identity", **changes)
