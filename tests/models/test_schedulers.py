"""Learning rates: where they begin and end, and that they know how many steps there are."""

import math

import pytest
import torch
from torch.optim.lr_scheduler import OneCycleLR

from prefprior.models.schedulers import Constant, OneCycle, Scheduler, WarmupCosine

STEPS = 40


def rates(scheduler: Scheduler, steps: float = STEPS, taken: int = STEPS) -> list[float]:
    """The rates of an optimizer whose peak is 1."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    attached, found = scheduler.attach(optimizer, steps), []
    for _ in range(taken):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        attached.step()
    return found


def test_warmup_cosine_rises_linearly_and_ends_at_its_last_rate() -> None:
    found = rates(WarmupCosine(warmup=0.1, final_lr=0.02))
    assert found[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert found[-1] == pytest.approx(0.02, abs=2e-3)


def test_warmup_cosine_is_half_way_down_half_way() -> None:
    assert WarmupCosine(warmup=0.0, final_lr=0.0).factor(501, 1001) == pytest.approx(0.5)


def test_a_constant_rate_is_constant_after_warmup() -> None:
    assert rates(Constant(warmup_steps=2))[:4] == [0.5, 1.0, 1.0, 1.0]
    assert set(rates(Constant())) == {1.0}


def test_one_cycle_agrees_with_torch() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = OneCycleLR(
        optimizer, 1.0, total_steps=STEPS, pct_start=0.3, div_factor=25, final_div_factor=1e4, cycle_momentum=False
    )
    expected = []
    for _ in range(STEPS):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    assert rates(OneCycle()) == pytest.approx(expected)


def test_a_schedule_without_a_number_of_steps_is_refused_with_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"trainer\.max_epochs or trainer\.max_steps, or choose scheduler=constant"):
        rates(WarmupCosine(), math.inf)
    assert rates(Constant(), math.inf) == [1.0] * STEPS


@pytest.mark.parametrize("make", [WarmupCosine, OneCycle])
def test_steps_beyond_the_last_keep_the_last_rate(make: type[Scheduler]) -> None:
    scheduler = make()
    assert scheduler.factor(STEPS + 5, STEPS) == pytest.approx(scheduler.factor(STEPS - 1, STEPS), abs=0.02)


@pytest.mark.parametrize(
    ("make", "words"),
    [(WarmupCosine, {"warmup": 1.0}), (WarmupCosine, {"final_lr": 2.0}), (Constant, {"warmup_steps": -1}),
     (OneCycle, {"rise": 0.0}), (OneCycle, {"first_lr": 2.0})],
)  # fmt: skip
def test_fractions_out_of_range_are_refused(make: type[Scheduler], words: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(words))):
        make(**words)
