"""The prior's invariances: what padding holds, how a history is stored and who else is in the batch change nothing."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from prefprior.history import History
from prefprior.models.prior.prior import Prior
from prefprior.space import Space
from tests.models.conftest import DIM, make_history, make_prior


def outputs(prior: Prior, history: History, seed: int = 0) -> Tensor:
    """Everything a prior predicts for some histories, as one tensor (B, ...)."""
    g = torch.Generator().manual_seed(seed)
    noisy = torch.randn(1, 1, 3, DIM, generator=g)
    with torch.no_grad():
        encoded = prior.encode_history(history)
        condition = prior.condition(encoded, torch.full((len(history), 1), 0.5))
        predicted = prior.predict(noisy.expand(len(history), -1, -1, -1), torch.tensor([[[0.3]]]), condition)
    return torch.cat([predicted.flatten(1), encoded.readouts_BRW.flatten(1)], dim=1)


def permuted(history: History, order: torch.Tensor) -> History:
    columns = ("embeddings_BKD", "ratings_BK", "ages_BK", "valid_BK", "items_BK")
    return replace(history, **{name: getattr(history, name)[:, order] for name in columns})


def test_padding_has_no_effect_even_if_it_is_nan(prior: Prior) -> None:
    history = make_history(4, 9)
    more = make_history(4, 20, seed=5)
    columns = ("embeddings_BKD", "ratings_BK", "ages_BK", "items_BK")
    padded = {name: torch.cat([getattr(history, name), getattr(more, name)], dim=1) for name in columns}
    padded["embeddings_BKD"][:, 9:] = torch.nan
    padded["ratings_BK"][:, 9:] = torch.nan
    padded["ages_BK"][:, 9:] = torch.nan
    valid = torch.cat([history.valid_BK, torch.zeros(4, 20, dtype=torch.bool)], dim=1)
    torch.testing.assert_close(
        outputs(prior, replace(history, valid_BK=valid, **padded)), outputs(prior, history), atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize("ages", [True, False])
def test_predictions_do_not_depend_on_the_order_of_the_history(space: Space, ages: bool) -> None:
    prior, history = make_prior(space, ages=ages), make_history(4, 9)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(outputs(prior, permuted(history, order)), outputs(prior, history), atol=1e-5, rtol=1e-4)


def test_ages_matter_only_with_ages_enabled(space: Space) -> None:
    history = make_history(4, 9)
    older = replace(history, ages_BK=history.ages_BK + 30)
    for ages in (True, False):
        prior = make_prior(space, ages=ages)
        same = torch.allclose(outputs(prior, older), outputs(prior, history), atol=1e-5)
        assert same == (not ages)


def test_predictions_do_not_depend_on_the_batch(prior: Prior) -> None:
    history = make_history(6, 9)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    together = outputs(prior, history)
    torch.testing.assert_close(outputs(prior, history.take(order)), together[order], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(outputs(prior, history.take([2])), together[2:3], atol=1e-5, rtol=1e-4)


def test_an_empty_history_is_the_null_condition(prior: Prior) -> None:
    history = make_history(4, 9)
    empty = replace(history, valid_BK=torch.zeros_like(history.valid_BK))
    said = prior.encode_history(empty).readouts_BRW
    null = prior.encode_history(history.empty()).expand(4).readouts_BRW
    torch.testing.assert_close(said, null)
    assert torch.isfinite(said).all()
    assert not torch.allclose(prior.encode_history(history).readouts_BRW, said, atol=1e-3)


def test_ratings_of_the_history_change_predictions(prior: Prior) -> None:
    history = make_history(4, 9)
    negated = replace(history, ratings_BK=-history.ratings_BK)
    assert not torch.allclose(outputs(prior, negated), outputs(prior, history), atol=1e-3)


WISHES = torch.tensor([[1.0, -1.0]]).expand(4, -1)  # loved and hated


def test_target_ratings_change_predictions(prior: Prior) -> None:
    encoded, noisy = prior.encode_history(make_history(4, 9)), torch.randn(4, 1, 1, DIM).expand(-1, 2, -1, -1)
    predicted = prior.predict(noisy, torch.tensor(0.5), prior.condition(encoded, WISHES))
    assert not torch.allclose(predicted[:, 0], predicted[:, 1], atol=1e-3)


def test_dropped_target_ratings_are_all_equal(prior: Prior) -> None:
    encoded = prior.encode_history(make_history(4, 9))
    unknown = prior.condition(encoded, WISHES, torch.zeros(4, 2, dtype=torch.bool)).modulation_BCM
    torch.testing.assert_close(unknown[:, 0], unknown[:, 1])


def test_noise_samples_and_target_ratings_are_independent(prior: Prior) -> None:
    encoded = prior.encode_history(make_history(3, 9))
    rating = torch.rand(3, 4) * 2 - 1
    noisy, time = torch.randn(3, 4, 5, DIM), torch.rand(3, 4, 5)
    together = prior.predict(noisy, time, prior.condition(encoded, rating))
    alone = prior.predict(noisy[:, 2:3, 1:2], time[:, 2:3, 1:2], prior.condition(encoded, rating[:, 2:3]))
    torch.testing.assert_close(together[:, 2:3, 1:2], alone, atol=1e-5, rtol=1e-4)


def test_bf16_autocast_is_finite_and_close(prior: Prior) -> None:
    history = make_history(4, 9)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = outputs(prior, history).float()
    assert torch.isfinite(low).all()
    exact = outputs(prior, history)
    assert (low - exact).norm() / exact.norm() < 0.05


def test_with_read_history_false_the_denoiser_sees_only_read_outs(space: Space) -> None:
    history = make_history(4, 40)
    history.valid_BK[:] = True
    for read_history, tokens in ((True, 4 + 40), (False, 4)):
        prior = make_prior(space, read_history=read_history)
        condition = prior.condition(prior.encode_history(history), torch.ones(4, 1))
        assert condition.keys_BHNE[0].shape[2] == tokens
        assert torch.isfinite(outputs(prior, history)).all()


@pytest.mark.parametrize(("argument", "value"), [("depth", 0), ("readouts", 0), ("dropout", 1.0), ("heads", 5)])
def test_invalid_arguments_are_refused(space: Space, argument: str, value: float) -> None:
    with pytest.raises(ValueError, match=r"at least 1|dropout|not divisible"):
        make_prior(space, **{argument: value})
