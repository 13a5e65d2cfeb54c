"""Fixed groups of users, split among the processes of a run: what they are asked is the same for any number."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning
import torch
from torch.utils.data import DataLoader

from prefprior.elicitation.session import Sessions
from prefprior.files import write_json

SIZE = 8  # users whom one process asks before it writes down what they said


@dataclass(frozen=True)
class Group:
    """Some users who are asked in one way with one seed."""

    way: str
    place: int  # of the seed
    first: int  # the place of the first of them among all users
    users: tuple[str, ...]

    @property
    def asked(self) -> str:
        """The name of the way and the seed."""
        return f"{self.way}_{self.place}"

    def path(self, root: Path) -> Path:
        """The file of its finished sessions."""
        return root / self.asked / f"{self.first:05d}.json"


def all_groups(ways: Iterable[str], seeds: int, users: Sequence[str]) -> list[Group]:
    """Every user in every way, with every seed."""
    return [
        Group(way, place, first, tuple(users[first : first + SIZE]))
        for way in ways
        for place in range(seeds)
        for first in range(0, len(users), SIZE)
    ]


def read_groups(root: Path, groups: Iterable[Group]) -> dict[str, list[Sessions]]:
    """The sessions of each way, by seed."""
    parts: dict[str, dict[int, list[Sessions]]] = {}
    for group in groups:
        sessions = Sessions.read(group.path(root))
        if sessions.users != list(group.users):
            raise ValueError(f"{group.path(root)}: not the users of this run. Delete it: it is made again.")
        parts.setdefault(group.way, {}).setdefault(group.place, []).append(sessions)
    return {way: [Sessions.joined(some) for some in by_place.values()] for way, by_place in parts.items()}


class AskingModule(lightning.LightningModule):
    """Asks one group a step, and writes down what came of it."""

    def __init__(self, root: Path, groups: Sequence[Group], ask: Callable[[Group], Sessions]) -> None:
        super().__init__()
        self.root, self.groups, self.ask = root, groups, ask

    def predict_step(self, batch: int, batch_idx: int) -> None:
        """Policies may follow gradients, and choose their own dtypes."""
        group = self.groups[batch]
        with torch.enable_grad(), torch.autocast(self.device.type, enabled=False):
            write_json(group.path(self.root), self.ask(group).plain())


class DealtGroups(lightning.LightningDataModule):
    """The places of unfinished groups, one process taking every world_size-th of them."""

    def __init__(self, root: Path, groups: Sequence[Group]) -> None:
        super().__init__()
        # Looked up here and not later: all processes get here before any of them has asked, so all deal alike.
        self.missing = [place for place, group in enumerate(groups) if not group.path(root).is_file()]

    @property
    def mine(self) -> list[int]:
        """This process's."""
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        return self.missing[rank::world]

    def predict_dataloader(self) -> DataLoader[int]:
        """One group a batch."""
        return DataLoader(self.mine, batch_size=None)  # type: ignore[arg-type]
