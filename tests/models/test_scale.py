"""Model scale: round trips, whitening, and buffers of their own."""

import numpy as np
import pytest
import torch

from prefprior.models import scale as module
from prefprior.models.scale import Standardize, Whiten
from prefprior.space import Space


def correlated(rows: int = 4000, dim: int = 6) -> tuple[Space, torch.Tensor]:
    """Embeddings that vary thirty times as much along one direction as along another."""
    rng = np.random.default_rng(3)
    raw = rng.normal(size=(rows, dim)) * np.geomspace(3, 0.1, dim) @ np.linalg.qr(rng.normal(size=(dim, dim)))[0] + 5
    return Space.measure("x", raw.astype(np.float32)), torch.from_numpy(raw.astype(np.float32))


def test_standardize_uses_the_statistics_of_the_space() -> None:
    space, raw = correlated()
    scale = Standardize(space=space)
    torch.testing.assert_close(scale.to_model(raw), space.to_model(raw))
    torch.testing.assert_close(scale.from_model(scale.to_model(raw)), raw)


def test_buffers_are_not_shared_between_networks() -> None:
    """Averaging of weights writes into buffers; the space that others share must not change with them."""
    space = Space("test/space", np.zeros(3, np.float32), np.ones(3, np.float32), 1.0)
    one, other = Standardize(space=space), Standardize(space=space)
    one.std_D.fill_(2)
    assert space.std_D.tolist() == other.std_D.tolist() == [1, 1, 1]


def test_unfitted_whitening_equals_standardizing() -> None:
    space, raw = correlated()
    torch.testing.assert_close(Whiten(space=space).to_model(raw), space.to_model(raw))


def test_whitened_embeddings_have_equal_variance_along_every_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 1000)  # the result is independent of it
    space, raw = correlated()
    scale = Whiten(space=space, shrinkage=1e-9)
    scale.fit(raw)
    white = scale.to_model(raw)
    torch.testing.assert_close(white.T @ white / len(raw), torch.eye(6), atol=1e-3, rtol=0)
    torch.testing.assert_close(scale.from_model(white), raw, atol=1e-4, rtol=1e-4)


def test_whitening_is_zca() -> None:
    """Symmetric: of all whitenings the closest to the identity."""
    space, raw = correlated()
    scale = Whiten(space=space)
    scale.fit(raw)
    torch.testing.assert_close(scale.whiten_DD, scale.whiten_DD.T, atol=1e-4, rtol=1e-4)


def test_a_direction_without_variance_is_not_amplified() -> None:
    _, raw = correlated()
    raw = torch.cat([raw, raw[:, :1]], dim=1)  # one dimension twice
    scale = Whiten(space=Space.measure("x", raw.numpy()), shrinkage=0.02)
    scale.fit(raw)
    assert torch.linalg.matrix_norm(scale.whiten_DD, 2) <= 0.02**-0.5 * 1.001
    torch.testing.assert_close(scale.from_model(scale.to_model(raw)), raw, atol=1e-4, rtol=1e-4)


def test_shrinkage_is_above_zero() -> None:
    space, _ = correlated()
    with pytest.raises(ValueError, match="shrinkage"):
        Whiten(space=space, shrinkage=0.0)
