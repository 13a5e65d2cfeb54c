"""Loaders of whole batches: an endless, repeatable stream for training and one fixed pass for validation.

Batch number g of the stream is a pure function of (seed, g), so that any number of processes and workers, and a
training that was interrupted, see the same batches.
Shapes: B users in a batch (over all ranks), U users.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from math import ceil

import numpy as np
from torch.utils.data import DataLoader, Dataset

from prefprior.data.hashing import mix, permuted
from prefprior.data.histories.assembler import Assembler
from prefprior.data.histories.draws import DrawRule
from prefprior.history import PreferenceBatch

# Names of independent random numbers.
ORDER, DRAW, FIXED = range(1, 4)


class TrainingBatches(Dataset[PreferenceBatch]):
    """Draws by their place in an endless stream of users: pass after pass, each in its own shuffled order."""

    def __init__(
        self, assembler: Assembler, rule: DrawRule, *, batch_size: int, seed: int, rank: int = 0, world: int = 1
    ) -> None:
        if batch_size % world:
            raise ValueError(
                f"data.batch_size={batch_size} is the batch of all {world} processes together: make it a "
                "multiple of their number"
            )
        self.assembler, self.rule, self.seed = assembler, rule, seed
        self.local = batch_size // world
        self.offset = rank * self.local

    def __getitem__(self, drawn: int) -> PreferenceBatch:
        """This rank's share of the batch that begins at place `drawn` of the stream."""
        place_B = drawn + self.offset + np.arange(self.local)
        users = len(self.assembler.sequences)
        pass_B = place_B // users
        user_B = permuted((place_B % users)[:, None], np.full(len(place_B), users), mix(self.seed, ORDER, pass_B))[:, 0]
        key_B = mix(self.seed, DRAW, pass_B, self.assembler.sequences.hash_U[user_B])
        return self.assembler.batch(user_B, key_B, self.rule)


class TrainingLoader:
    """An epoch's batches of the stream; `drawn`, how far the stream was consumed, is all there is to save."""

    def __init__(
        self,
        batches: Dataset[PreferenceBatch],
        *,
        batch_size: int,
        epoch_batches: int,
        workers: int,
        pin_memory: bool,
        drawn: int = 0,
    ) -> None:
        self.batches, self.batch_size, self.epoch_batches = batches, batch_size, epoch_batches
        self.workers, self.pin_memory, self.drawn = workers, pin_memory, drawn

    def __len__(self) -> int:
        return self.epoch_batches

    def __iter__(self) -> Iterator[PreferenceBatch]:
        places = range(self.drawn, self.drawn + self.epoch_batches * self.batch_size, self.batch_size)
        loader = DataLoader(
            self.batches, sampler=places, batch_size=None, num_workers=self.workers, pin_memory=self.pin_memory
        )
        for batch in loader:
            # Counted when a batch is handed over, not when a worker made it ahead of time.
            self.drawn += self.batch_size
            yield batch


class CountedBatches(Dataset[PreferenceBatch], ABC):
    """One pass over users in their order; ranks see disjoint users and equally many batches."""

    serial = False  # whether one process has to make the batches, in their order

    def __init__(self, users: int, *, batch_size: int, rank: int, world: int) -> None:
        self.rank, self.world = rank, world
        self.count = max(ceil(users / batch_size), 1)
        # Almost equal slices leave no rank without a user; with fewer users than ranks some are seen twice.
        everyone = np.arange(max(users, self.count * world)) % users
        self.slices = np.array_split(everyone, self.count * world)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> PreferenceBatch:
        if not 0 <= number < self.count:
            raise IndexError(number)
        return self.batch(self.slices[number * self.world + self.rank])

    @abstractmethod
    def batch(self, user_B: np.ndarray) -> PreferenceBatch:
        """The batch of some users."""


class FixedBatches(CountedBatches):
    """One pass over all users with the same draws every time."""

    def __init__(
        self, assembler: Assembler, rule: DrawRule, *, batch_size: int, seed: int, rank: int = 0, world: int = 1
    ) -> None:
        super().__init__(len(assembler.sequences), batch_size=batch_size, rank=rank, world=world)
        self.assembler, self.rule, self.seed = assembler, rule, seed

    def batch(self, user_B: np.ndarray) -> PreferenceBatch:
        """The batch of some users."""
        key_B = mix(self.seed, FIXED, self.assembler.sequences.hash_U[user_B])
        return self.assembler.batch(user_B, key_B, self.rule)


class FixedLoader:
    """Iterates `CountedBatches`."""

    def __init__(self, batches: CountedBatches, *, workers: int, pin_memory: bool) -> None:
        self.batches, self.workers, self.pin_memory = batches, 0 if batches.serial else workers, pin_memory

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[PreferenceBatch]:
        yield from DataLoader(
            self.batches,
            sampler=range(len(self.batches)),
            batch_size=None,
            num_workers=self.workers,
            pin_memory=self.pin_memory,
        )
