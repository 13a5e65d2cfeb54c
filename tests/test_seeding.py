"""prefprior/seeding.py: seeds follow from what they are for."""

import torch

from prefprior.seeding import generator_of, initialised_by, seed_of


def test_a_seed_depends_on_all_its_parts() -> None:
    assert seed_of(0, "u", 1) == seed_of(0, "u", 1)
    assert len({seed_of(0, "u", 1), seed_of(1, "u", 1), seed_of(0, "v", 1), seed_of(0, "u", 2)}) == 4


def test_parts_are_not_concatenated() -> None:
    assert seed_of("a", "bc") != seed_of("ab", "c")


def test_equal_parts_give_equal_generators() -> None:
    assert torch.equal(torch.rand(3, generator=generator_of(0, "x")), torch.rand(3, generator=generator_of(0, "x")))


def layer(seed: int) -> torch.Tensor:
    with initialised_by(torch.Generator().manual_seed(seed)):
        return torch.nn.Linear(2, 2).weight.detach()


def test_initial_weights_come_from_the_generator() -> None:
    assert torch.equal(layer(0), layer(0))
    assert not torch.equal(layer(0), layer(1))


def test_the_global_generator_is_unchanged() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    layer(0)
    assert torch.equal(torch.rand(3), expected)
