"""The average of weights: over few steps early on, over as many as `decay` says later."""

import pytest
import torch

from prefprior.callbacks.ema import Ema


def test_the_initial_weights_are_soon_forgotten() -> None:
    ema = Ema(decay=0.999)
    start, now = [torch.ones(3)], [torch.zeros(3)]
    for count in range(100):
        ema._kwargs["multi_avg_fn"](start, now, torch.tensor(count))
    assert 0 < float(start[0].max()) < 1e-6  # a fixed decay of .999 would have kept nine tenths


def test_decay_grows_to_its_limit() -> None:
    ema = Ema(decay=0.995)
    shares = [ema.share_kept(count) for count in (0, 10, 1000, 10**6)]
    assert shares == sorted(shares)
    assert shares[-1] == 0.995


def test_before_averaging_begins_the_average_equals_the_weights() -> None:
    ema = Ema(start_step=3)
    assert [ema.share_kept(count) > 0 for count in (0, 2, 3, 4)] == [False, False, True, True]
    assert ema.should_update(step_idx=0)
    assert not ema.should_update(epoch_idx=1)


@pytest.mark.parametrize("decay", [0.0, 1.0])
def test_a_decay_lies_between_0_and_1(decay: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Ema(decay=decay)
