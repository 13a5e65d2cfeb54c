"""Ensembles: members have weights and user tokens of their own, and the score is their mean."""

import pytest
import torch

from prefprior.models.retriever.ensemble import Ensemble
from prefprior.space import Space
from tests.models.conftest import DIM, losses, make_batch, make_history, make_model, make_retriever, total
from tests.models.objectives.test_objectives import OBJECTIVES


def items() -> torch.Tensor:
    return torch.randn(6, DIM, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", ["ensemble", "identities"])
def test_the_score_is_the_members_mean(space: Space, kind: str) -> None:
    model, history = make_model(space, kind), make_history(4, 9)
    ensemble, tokens = model.retriever, model.encode(history).tokens_BIW
    assert isinstance(ensemble, Ensemble)
    assert tokens is not None
    each = [m.score(own, items()) for m, own in zip(ensemble.members, tokens.chunk(3, dim=1), strict=True)]
    torch.testing.assert_close(ensemble.score(tokens, items()), torch.stack(each).mean(0))
    assert not torch.allclose(each[0], each[1], atol=1e-3)


def test_each_member_is_trained_independently(space: Space) -> None:
    model = make_model(space, "identities")
    assert isinstance(model.retriever, Ensemble)
    found = losses(model, OBJECTIVES[0], make_batch(users=16))
    total({name: value for name, value in found.items() if name != "denoising"}).backward()
    together = [p.grad for p in model.retriever.members[1].parameters()]
    alone = make_model(space, model.retriever.members[1])
    alone.zero_grad()
    found = losses(alone, OBJECTIVES[0], make_batch(users=16))
    total({name: value for name, value in found.items() if name != "denoising"}).backward()
    for mean_grad, p in zip(together, model.retriever.members[1].parameters(), strict=True):
        assert mean_grad is not None
        torch.testing.assert_close(3 * mean_grad, p.grad, atol=1e-6, rtol=1e-4)


def test_members_share_the_read_outs_evenly(space: Space) -> None:
    with pytest.raises(
        ValueError, match=r"4 read-outs cannot be divided evenly among 3 retrievers. Give prior.readouts=7"
    ):
        make_model(space, "ensemble", readouts=5)


def test_an_empty_ensemble_is_refused(space: Space) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Ensemble(retriever=make_retriever(space), n=0)
