"""scripts/dsprites.py: a simulation in which length carries information, and how its table is computed."""

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from prefprior.models.lengths import Lengths
from prefprior.space import Space
from scripts import dsprites
from scripts.dsprites import KINDS, Simulation

PICTURES = 2000


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return Simulation.draw(PICTURES, 0)


def of_each_kind(simulation: Simulation, count: int = 10) -> Tensor:
    """(U, n, D) pictures of every user's own kind."""
    return simulation.embeddings_ND[: count * len(KINDS)].view(count, len(KINDS), -1).transpose(0, 1)


def test_a_seed_makes_the_same_simulation(simulation: Simulation) -> None:
    again = Simulation.draw(PICTURES, 0)
    torch.testing.assert_close(again.embeddings_ND, simulation.embeddings_ND)
    assert torch.equal(again.liked_UN, simulation.liked_UN)


def test_length_tells_red_from_blue(simulation: Simulation) -> None:
    lengths_N = simulation.embeddings_ND.norm(dim=1)
    red_N = simulation.kind_N % 2 == 0
    assert lengths_N[red_N].quantile(0.05) > 1.1 * lengths_N[~red_N].quantile(0.95)


def test_the_nearest_picture_is_of_the_same_kind(simulation: Simulation) -> None:
    distances_NN = torch.cdist(simulation.embeddings_ND, simulation.embeddings_ND).fill_diagonal_(torch.inf)
    same_N = simulation.kind_N[distances_NN.argmin(1)] == simulation.kind_N
    assert same_N.float().mean() > 0.9


def test_users_like_their_own_kind(simulation: Simulation) -> None:
    for user in range(len(KINDS)):
        own_N = simulation.kind_N == user
        assert simulation.liked_UN[user, own_N].float().mean() > 0.9
        assert simulation.liked_UN[user, ~own_N].float().mean() < 0.15


def test_precision_is_by_user(simulation: Simulation) -> None:
    own_BnD = of_each_kind(simulation)
    assert simulation.precision(own_BnD).tolist() == [1, 1, 1, 1]
    assert simulation.precision(own_BnD[[0, 1, 3, 2]]).tolist() == [1, 1, 0, 0]


def test_bounded_lengths_keep_the_kind_that_one_length_takes(simulation: Simulation) -> None:
    samples_BnD, lengths = of_each_kind(simulation), Lengths(dsprites.DIM)
    lengths.learn(simulation.embeddings_ND)
    assert simulation.precision(lengths.bounded(samples_BnD)).min() > 0.85
    space = Space.measure("dsprites", simulation.embeddings_ND.numpy())
    assert simulation.precision(space.onto_shell(samples_BnD)).min() < 0.15


def test_one_command_trains_and_prints_a_share_for_each_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ("prior.width=16", "prior.depth=1", "prior.heads=2", "data.epoch_batches=2", "data.batch_size=8")
    words = ["--pictures", "200", "--epochs", "1", "--histories", "2", "--folder", str(tmp_path), "--words", *small]
    monkeypatch.setattr(sys, "argv", ["dsprites.py", *words])
    dsprites.main()
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert table[0] == "| samples | red heart | blue heart | red square | blue square |"
    assert len(table) == 4
    for line in table[1:]:
        assert all(0 <= float(cell) <= 1 for cell in line.strip("| ").split(" | ")[1:])
