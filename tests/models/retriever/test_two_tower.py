"""Two towers: whose encoder they read, and what does not go together."""

import pytest
import torch

from prefprior.models.retriever.two_tower import EncoderSize, TwoTower
from prefprior.models.scale import Standardize
from prefprior.space import Space
from tests.models.conftest import DIM, make_history, make_model


def test_an_own_encoder_does_not_train_the_generators(space: Space) -> None:
    model, history = make_model(space, "own"), make_history(3, 6)
    tokens = model.encode(history).tokens_BIW
    assert tokens is not None
    assert tokens.shape == (3, 8, 32)
    grads = torch.autograd.grad(tokens.sum(), list(model.prior.parameters()), allow_unused=True)
    assert all(g is None for g in grads)


def test_a_shared_encoder_gets_gradients_from_the_retriever(space: Space) -> None:
    model = make_model(space, "shared")
    tokens = model.encode(make_history(3, 6)).tokens_BIW
    assert tokens is not None
    grads = torch.autograd.grad(tokens.sum(), list(model.prior.encoder.parameters()), allow_unused=True)
    assert any(g is not None for g in grads)


def test_padding_of_an_own_encoder_has_no_effect(space: Space) -> None:
    model, history, spoiled = make_model(space, "own"), make_history(4, 9), make_history(4, 9)
    spoiled.embeddings_BKD[~spoiled.valid_BK] = torch.nan
    assert torch.equal(model.encode(history).tokens_BIW, model.encode(spoiled).tokens_BIW)


def test_single_items_score_like_items_of_a_catalogue(space: Space) -> None:
    model = make_model(space)
    tokens, retriever = model.encode(make_history(3, 6)).tokens_BIW, model.retriever
    assert tokens is not None
    assert retriever is not None
    raw = torch.randn(5, DIM, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(retriever.score(tokens, raw.expand(3, -1, -1)), retriever.score(tokens, raw))


def test_a_shared_encoder_needs_read_outs(space: Space) -> None:
    with pytest.raises(ValueError, match=r"retriever\.encoder=own"):
        make_model(space, "shared", readouts=1)


def test_the_size_of_an_unused_encoder_is_refused(space: Space) -> None:
    with pytest.raises(ValueError, match=r"add retriever\.encoder=own"):
        TwoTower(space=space, scale=Standardize(space=space), token_width=32, own=EncoderSize())


def test_an_unknown_encoder_is_refused(space: Space) -> None:
    with pytest.raises(ValueError, match="did you mean shared"):
        TwoTower(space=space, scale=Standardize(space=space), token_width=32, encoder="share")
