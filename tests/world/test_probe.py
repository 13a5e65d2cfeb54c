"""prefprior/world/probe.py: factors are read off embeddings."""

import numpy as np
import torch

from prefprior.world.probe import FactorProbe, factor_columns
from prefprior.world.render.factors import NAMES, Factors, draw_factors


def linear_world(count: int) -> tuple[Factors, np.ndarray]:
    """Factors, and embeddings in which each column is one direction, beside a large common one."""
    factors = draw_factors(count, torch.Generator().manual_seed(0))
    value = np.stack(list(factor_columns(factors).values()), axis=1)
    value = (value - value.mean(0)) / value.std(0)
    return factors, np.concatenate([value, np.full((count, 1), 100.0)], axis=1)


def test_there_are_columns_of_every_factor() -> None:
    columns = factor_columns(draw_factors(10, torch.Generator().manual_seed(0)))
    assert {name.split(":")[0] for name in columns} == set(NAMES)


def test_a_shift_is_in_standard_deviations_of_its_factor() -> None:
    factors, embeddings = linear_world(2000)
    probe, after = FactorProbe(factors, embeddings), embeddings.copy()
    after[:, probe.names.index("lightness")] += 1.0
    shifts = probe.shifts(embeddings, after)
    place = NAMES.index("lightness")
    assert abs(shifts[:, place].mean() - 1) < 0.1
    assert np.delete(shifts, place, axis=1).mean() < 0.1
    np.testing.assert_allclose(probe.kept(embeddings, after), 15 / 16)


def test_what_does_not_move_is_kept() -> None:
    factors, embeddings = linear_world(500)
    assert (FactorProbe(factors, embeddings).kept(embeddings, torch.from_numpy(embeddings)) == 1).all()
