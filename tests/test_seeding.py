"""prefprior/seeding.py: seeds follow from what they are for."""

import torch

from prefprior.seeding import generator_of, initialised_by, seed_of


def test_a_seed_follows_from_all_its_parts() -> None:
    assert seed_of(0, "u", 1) == seed_of(0, "u", 1)
    assert len({seed_of(0, "u", 1), seed_of(1, "u", 1), seed_of(0, "v", 1), seed_of(0, "u", 2)}) == 4


def test_parts_do_not_run_into_each_other() -> None:
    assert seed_of("a", "bc") != seed_of("ab", "c")


def test_equal_parts_make_equal_generators() -> None:
    assert torch.equal(torch.rand(3, generator=generator_of(0, "x")), torch.rand(3, generator=generator_of(0, "x")))


def layer(seed: int) -> torch.Tensor:
    with initialised_by(torch.Generator().manual_seed(seed)):
        return torch.nn.Linear(2, 2).weight.detach()


def test_layers_follow_from_the_generator() -> None:
    assert torch.equal(layer(0), layer(0))
    assert not torch.equal(layer(0), layer(1))


def test_the_global_state_is_left_as_it_was() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    layer(0)
    assert torch.equal(torch.rand(3), expected)
