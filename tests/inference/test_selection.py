"""Choosing candidates: the best first, then the best of what is different."""

import pytest
import torch

from prefprior.inference.selection import spread


def test_two_clusters_give_one_each_before_a_second_of_either():
    left, right = torch.tensor([[-5.0, 0.1], [-5.0, -0.1], [-4.9, 0.0]]), torch.tensor([[5.0, 0.1], [5.0, -0.1]])
    candidates = torch.cat([left, right])[None]
    quality = torch.tensor([[3.0, 2.9, 2.8, 1.0, 0.9]])
    assert spread(candidates, quality, 2, diversity=3.0).tolist() == [[0, 3]]
    assert spread(candidates, quality, 3, diversity=0.0).tolist() == [[0, 1, 2]]


def test_users_are_chosen_for_apart_and_nothing_twice():
    g = torch.Generator().manual_seed(0)
    candidates, quality = torch.randn(3, 20, 4, generator=g), torch.randn(3, 20, generator=g)
    rows = spread(candidates, quality, 20, 1.0)
    assert (rows.sort(1).values == torch.arange(20)).all()
    together = spread(candidates, quality, 6, 1.0)
    assert torch.equal(together[1:2], spread(candidates[1:2], quality[1:2], 6, 1.0))
    assert torch.equal(together, spread(candidates, 10 * quality + 3, 6, 1.0))


def test_more_than_there_are_is_refused():
    with pytest.raises(ValueError, match="5 cannot be chosen from 4"):
        spread(torch.randn(1, 4, 2), torch.randn(1, 4), 5, 1.0)
