"""Spaces: statistics, round trips, refusals."""

import numpy as np
import pytest
import torch

from prefprior.space import LEAST_VARIANCE, Space, SpaceScale, WhitenedScale


def make_space(name: str = "a/b", dim: int = 8, seed: int = 0) -> tuple[Space, np.ndarray]:
    raw = np.random.default_rng(seed).normal(3.0, 0.03, (500, dim)).astype(np.float32)
    return Space.measure(name, raw), raw


def test_scaled_vectors_have_zero_mean_and_unit_variance() -> None:
    space, raw = make_space()
    scaled = space.to_model(raw)
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(scaled.std(0), 1, atol=1e-3)


def test_round_trip_in_numpy_torch_and_module() -> None:
    space, raw = make_space()
    np.testing.assert_allclose(space.from_model(space.to_model(raw)), raw, rtol=1e-5)
    tensor = torch.from_numpy(raw)
    torch.testing.assert_close(space.from_model(space.to_model(tensor)), tensor)
    scale = SpaceScale(space)
    torch.testing.assert_close(scale.to_model(tensor), space.to_model(tensor))
    torch.testing.assert_close(scale.from_model(scale.to_model(tensor)), tensor)


def test_measuring_in_chunks_is_measuring_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = np.random.default_rng(1).normal(size=(70000, 3)).astype(np.float16)
    space = Space.measure("x", raw)
    np.testing.assert_allclose(space.mean_D, raw.astype(np.float64).mean(0), atol=1e-6)
    np.testing.assert_allclose(space.std_D, raw.astype(np.float64).std(0), atol=1e-6)


def test_a_dimension_that_never_varies_does_not_divide_by_zero() -> None:
    raw = np.random.default_rng(2).normal(size=(50, 4)).astype(np.float32)
    raw[:, 2] = 5
    space = Space.measure("x", raw)
    assert space.std_D[2] == 1
    assert np.isfinite(space.to_model(raw)).all()


def test_onto_shell_keeps_the_direction_and_sets_the_norm() -> None:
    space, raw = make_space()
    moved = space.onto_shell(torch.from_numpy(raw * 7))
    torch.testing.assert_close(moved.norm(dim=-1), torch.full((len(raw),), space.norm))
    np.testing.assert_allclose(space.onto_shell(raw * 7), moved.numpy(), rtol=1e-5)


def test_directions_are_unit_vectors_of_standardised_coordinates() -> None:
    space, raw = make_space()
    scaled = space.to_model(raw)
    expected = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
    np.testing.assert_allclose(space.directions(raw), expected, rtol=1e-5)
    np.testing.assert_allclose(space.directions(torch.from_numpy(raw)).numpy(), expected, rtol=1e-4)


def test_directions_of_half_precision_are_computed_in_full() -> None:
    space, raw = make_space()
    half = torch.from_numpy(raw).half()
    assert space.directions(half).dtype == torch.float32
    torch.testing.assert_close(space.directions(half), space.directions(half.float()))


def test_dictionary_round_trip_and_fingerprint() -> None:
    space, _ = make_space()
    again = Space.from_dict(space.to_dict())
    assert again.fingerprint() == space.fingerprint()
    other, _ = make_space(seed=9)
    assert other.fingerprint() != space.fingerprint()
    with pytest.raises(ValueError, match="lacks"):
        Space.from_dict({"name": "x"})


def test_foreign_spaces_are_refused_with_both_names() -> None:
    one, _ = make_space("ViT-H-14/x")
    two, _ = make_space("ViT-L-14/y")
    one.require_same(make_space("ViT-H-14/x", seed=3)[0], "the prior", "the table")
    with pytest.raises(ValueError, match=r"ViT-H-14/x.*ViT-L-14/y"):
        one.require_same(two, "the prior", "the table")


def test_broken_statistics_are_refused() -> None:
    with pytest.raises(ValueError, match="every std above 0"):
        Space("x", np.zeros(2, np.float32), np.array([1, 0], np.float32), 1.0)
    with pytest.raises(ValueError, match="at least one vector"):
        Space.measure("x", np.zeros((0, 3), np.float32))


def test_a_networks_buffers_are_its_own() -> None:
    """Averaging of weights writes into buffers; the space that others share must not move with them."""
    space = Space("test/space", np.zeros(3, np.float32), np.ones(3, np.float32), 1.0)
    one, other = SpaceScale(space), SpaceScale(space)
    one.std_D.fill_(2)
    assert space.std_D.tolist() == other.std_D.tolist() == [1, 1, 1]


def correlated(rows: int = 4000, dim: int = 6) -> tuple[Space, torch.Tensor]:
    """Pictures that vary along one direction thirty times as much as along another."""
    rng = np.random.default_rng(3)
    raw = rng.normal(size=(rows, dim)) * np.geomspace(3, 0.1, dim) @ np.linalg.qr(rng.normal(size=(dim, dim)))[0] + 5
    return Space.measure("x", raw.astype(np.float32)), torch.from_numpy(raw.astype(np.float32))


def test_whitened_pictures_vary_alike_along_every_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prefprior.space.LEAST_VARIANCE", 0.0)
    monkeypatch.setattr("prefprior.space.WHITENED_AT_ONCE", 1000)  # its parts make the whole
    space, raw = correlated()
    scale = WhitenedScale(space)
    torch.testing.assert_close(scale.to_model(raw), space.to_model(raw))  # before it has learned: the plain one
    scale.learn(raw)
    white = scale.to_model(raw)
    torch.testing.assert_close(white.T @ white / len(raw), torch.eye(6), atol=1e-3, rtol=0)
    torch.testing.assert_close(scale.from_model(white), raw, atol=1e-4, rtol=1e-4)
    # The nearest to the plain scale: no dimension turns into another.
    assert torch.allclose(scale.there_DD, scale.there_DD.T, atol=1e-4)


def test_a_direction_without_variance_is_not_blown_up() -> None:
    space, raw = correlated()
    raw = torch.cat([raw, raw[:, :1]], dim=1)  # twice the same
    space = Space.measure("x", raw.numpy())
    scale = WhitenedScale(space)
    scale.learn(raw)
    assert torch.linalg.matrix_norm(scale.there_DD, 2) <= LEAST_VARIANCE**-0.5 * 1.001
    torch.testing.assert_close(scale.from_model(scale.to_model(raw)), raw, atol=1e-4, rtol=1e-4)
