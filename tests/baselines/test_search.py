"""prefprior/baselines/search.py: what settings are drawn, and that every baseline's are its own arguments."""

import inspect
import math

import pytest
import torch

from prefprior.baselines.baseline import Baseline
from prefprior.baselines.blend import Blend
from prefprior.baselines.ease import Ease
from prefprior.baselines.ials import Ials
from prefprior.baselines.linear import PersonalDirection
from prefprior.baselines.rocchio import Rocchio
from prefprior.baselines.search import LogUniform, OneOf, settings
from prefprior.baselines.sequential import Sequential
from prefprior.baselines.user_diffusion import UserDiffusion
from prefprior.baselines.wals import Wals

TUNED: tuple[type[Baseline], ...] = (
    Blend, Ease, Ials, PersonalDirection, Rocchio, Sequential, UserDiffusion, Wals,
)  # fmt: skip


def drawn(search: dict, budget: int, seed: int = 0) -> list[dict]:
    return list(settings(search, budget, torch.Generator().manual_seed(seed)))


def test_the_defaults_come_first() -> None:
    found = drawn({"weight": LogUniform(1, 2)}, 5)
    assert found[0] == {}
    assert all(set(one) == {"weight"} for one in found[1:])


def test_settings_follow_from_the_generator() -> None:
    search = {"weight": LogUniform(1, 2), "size": OneOf((1, 2))}
    assert drawn(search, 6) == drawn(search, 6)
    assert drawn(search, 6) != drawn(search, 6, seed=1)


def test_no_setting_is_tried_twice() -> None:
    found = drawn({"size": OneOf((1, 2, 3))}, 20)
    assert sorted(one["size"] for one in found[1:]) == [1, 2, 3]


def test_logarithms_are_uniform() -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.tensor([math.log10(LogUniform(0.01, 100).draw(generator)) for _ in range(2000)])
    assert -2 <= values.min() < -1.9
    assert 1.9 < values.max() <= 2
    assert abs(float((values < 0).float().mean()) - 0.5) < 0.05


@pytest.mark.parametrize("baseline", TUNED)
def test_every_setting_is_an_argument_that_the_constructor_takes(baseline: type[Baseline]) -> None:
    given = {"method": "ridge"} if baseline is PersonalDirection else {}
    assert baseline.search.keys() <= inspect.signature(baseline).parameters.keys()
    for found in drawn(dict(baseline.search), 20):
        baseline(**given, **found)  # raises if it is out of bounds
