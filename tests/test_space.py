"""Spaces: statistics, round trips, refusals."""

import numpy as np
import pytest
import torch

from prefprior.space import Space


def make_space(name: str = "a/b", dim: int = 8, seed: int = 0) -> tuple[Space, np.ndarray]:
    raw = np.random.default_rng(seed).normal(3.0, 0.03, (500, dim)).astype(np.float32)
    return Space.measure(name, raw), raw


def test_scaled_vectors_have_zero_mean_and_unit_variance() -> None:
    space, raw = make_space()
    scaled = space.to_model(raw)
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(scaled.std(0), 1, atol=1e-3)


def test_round_trip_in_numpy_and_torch() -> None:
    space, raw = make_space()
    np.testing.assert_allclose(space.from_model(space.to_model(raw)), raw, rtol=1e-5)
    tensor = torch.from_numpy(raw)
    torch.testing.assert_close(space.from_model(space.to_model(tensor)), tensor)


def test_statistics_do_not_depend_on_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_directions_of_half_precision_are_computed_in_float32() -> None:
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
    with pytest.raises(ValueError, match="norm is missing"):
        Space.from_dict({"name": "x"})


def test_another_space_is_refused_with_both_names() -> None:
    one, _ = make_space("ViT-H-14/x")
    two, _ = make_space("ViT-L-14/y")
    one.require_same(make_space("ViT-H-14/x", seed=3)[0], "the prior", "the table")
    with pytest.raises(ValueError, match=r"ViT-H-14/x.*ViT-L-14/y"):
        one.require_same(two, "the prior", "the table")


def test_invalid_statistics_are_refused() -> None:
    with pytest.raises(ValueError, match="every std above 0"):
        Space("x", np.zeros(2, np.float32), np.array([1, 0], np.float32), 1.0)
    with pytest.raises(ValueError, match="at least one vector"):
        Space.measure("x", np.zeros((0, 3), np.float32))
