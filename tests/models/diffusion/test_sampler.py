"""Settings of sampling: changed copies leave the original alone."""

import pytest

from prefprior.models.diffusion.guidance import Guidance
from prefprior.models.diffusion.sampler import Sampler
from prefprior.models.diffusion.solvers import Heun


def test_a_changed_sampler_keeps_the_rest() -> None:
    solver, guidance = Heun(), Guidance(history=3.0)
    changed = Sampler(solver=solver, guidance=guidance, candidates=7, diversity=0.5, on_shell=False).changed(steps=5)
    assert (changed.steps, changed.solver, changed.guidance) == (5, solver, guidance)
    assert (changed.candidates, changed.diversity, changed.on_shell) == (7, 0.5, False)


def test_the_original_stays_as_it_was() -> None:
    sampler = Sampler(steps=9)
    sampler.changed(steps=5)
    assert sampler.steps == 9


def test_changes_are_checked_like_first_settings() -> None:
    with pytest.raises(ValueError, match="candidates must be at least 1"):
        Sampler().changed(candidates=0)
