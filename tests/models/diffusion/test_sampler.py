"""Settings of sampling: changed copies leave the original alone."""

import pytest

from prefprior.models.diffusion.guidance import Guidance
from prefprior.models.diffusion.sampler import Sampler
from prefprior.models.diffusion.solvers import Heun


def test_changing_a_sampler_keeps_its_other_settings() -> None:
    solver, guidance = Heun(), Guidance(history=3.0)
    changed = Sampler(solver=solver, guidance=guidance, candidates=7, diversity=0.5).changed(steps=5)
    assert (changed.steps, changed.solver, changed.guidance) == (5, solver, guidance)
    assert (changed.candidates, changed.diversity) == (7, 0.5)


def test_changing_a_sampler_returns_a_copy() -> None:
    sampler = Sampler(steps=9)
    sampler.changed(steps=5)
    assert sampler.steps == 9


def test_changes_are_validated() -> None:
    with pytest.raises(ValueError, match="candidates must be at least 1"):
        Sampler().changed(candidates=0)
