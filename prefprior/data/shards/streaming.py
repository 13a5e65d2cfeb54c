"""Batches from shards: the same interface as from memory, and memory that does not grow with the number of users.

A lane is one worker of one process. In each pass the shards are shuffled and shared out among the lanes; a lane reads a
few shards at a time and shuffles their users. All of it follows from (seed, place), so that a stream resumes anywhere.
"""

import numpy as np
from torch.utils.data import Dataset

from prefprior.data.hashing import mix, permuted
from prefprior.data.histories.assembler import Assembler
from prefprior.data.histories.draws import DrawRule
from prefprior.data.histories.loader import DRAW, FIXED, ORDER, CountedBatches
from prefprior.data.shards.manifest import Shard, ShardSet
from prefprior.data.shards.tars import read_shards
from prefprior.history import PreferenceBatch, concatenate

_WITHIN = 11


class Windows:
    """Reads shards a few at a time, and keeps the last ones read."""

    def __init__(self, shards: ShardSet) -> None:
        self.shards = shards
        self._read: tuple[tuple[Shard, ...], Assembler] | None = None

    def assembler(self, wanted: tuple[Shard, ...]) -> Assembler:
        """What makes batches of the users of these shards."""
        if self._read is None or self._read[0] != wanted:
            self._read = None  # the old ones go before the new ones come
            sequences, vectors_ND = read_shards(wanted, self.shards.space.dim)
            self._read = wanted, Assembler(sequences, vectors_ND, self.shards.scale)
        return self._read[1]


class ShardBatches(Dataset[PreferenceBatch]):
    """Batches by their place in an endless stream, from the shards of the training part."""

    def __init__(
        self,
        shards: ShardSet,
        rule: DrawRule,
        *,
        batch_size: int,
        seed: int,
        window: int,
        rank: int = 0,
        world: int = 1,
        workers: int = 0,
    ) -> None:
        if batch_size % world:
            raise ValueError(
                f"data.batch_size={batch_size} is the batch of all {world} processes together: make it a "
                "multiple of their number"
            )
        self.train = shards.parts["train"]
        self.lanes = world * max(workers, 1)
        if self.lanes > len(self.train):
            raise ValueError(
                f"{shards.folder} has {len(self.train)} training shards for {world} processes with {workers} "
                "workers each, but each worker needs a shard: make more (python shard.py least=...), or use "
                "fewer workers."
            )
        self.rule, self.seed, self.window = rule, seed, window
        self.batch_size, self.local = batch_size, batch_size // world
        self.rank, self.workers = rank, max(workers, 1)
        self._windows = Windows(shards)
        self._ends: dict[int, list[int]] = {}  # of a lane: where each pass ends

    def __getitem__(self, drawn: int) -> PreferenceBatch:
        """This rank's share of the batch that begins at place `drawn` of the stream of all ranks."""
        number = drawn // self.batch_size
        lane, step = self.rank * self.workers + number % self.workers, number // self.workers
        pieces, at, end = [], step * self.local, (step + 1) * self.local
        while at < end:
            piece, took = self._piece(lane, at, end - at)
            pieces.append(piece)
            at += took
        return pieces[0] if len(pieces) == 1 else concatenate(pieces)

    def _piece(self, lane: int, at: int, most: int) -> tuple[PreferenceBatch, int]:
        """Users from place `at` of a lane's stream on, to the end of a window at most."""
        number, begin = self._pass(lane, at)
        shards = self._shards_of(lane, number)
        within = at - begin
        for first in range(0, len(shards), self.window):
            window = tuple(shards[first : first + self.window])
            users = sum(shard.users for shard in window)
            if within < users:
                break
            within -= users
        took = min(most, users - within)
        assembler = self._windows.assembler(window)
        place_B = np.arange(within, within + took)
        key = mix(self.seed, _WITHIN, number, lane, first)
        user_B = permuted(place_B[None], np.asarray([users]), key)[0]
        key_B = mix(self.seed, DRAW, number, assembler.sequences.hash_U[user_B])
        return assembler.batch(user_B, key_B, self.rule), took

    def _shards_of(self, lane: int, number: int) -> list[Shard]:
        count = len(self.train)
        order = permuted(np.arange(count)[None], np.asarray([count]), mix(self.seed, ORDER, number))[0]
        return [self.train[i] for i in order[lane :: self.lanes]]

    def _pass(self, lane: int, at: int) -> tuple[int, int]:
        """Which pass a place belongs to, and where that pass begins."""
        ends = self._ends.setdefault(lane, [])
        while not ends or ends[-1] <= at:
            users = sum(shard.users for shard in self._shards_of(lane, len(ends)))
            ends.append((ends[-1] if ends else 0) + users)
        number = int(np.searchsorted(ends, at, side="right"))
        return number, ends[number - 1] if number else 0


class FixedShardBatches(CountedBatches):
    """One pass over the shards of some parts in their order, with the same draws every time."""

    serial = True  # each process that makes some of the batches reads nearly all shards

    def __init__(
        self,
        shards: ShardSet,
        parts: list[str],
        rule: DrawRule,
        *,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.part = [shard for part in parts for shard in shards.parts[part]]
        self.rule, self.seed = rule, seed
        self.begins = np.cumsum([0, *(shard.users for shard in self.part)])
        super().__init__(int(self.begins[-1]), batch_size=batch_size, rank=rank, world=world)
        self._windows = Windows(shards)

    def batch(self, user_B: np.ndarray) -> PreferenceBatch:
        """The batch of some users, by their place in all shards."""
        shard_B = np.searchsorted(self.begins, user_B, side="right") - 1
        pieces = []
        for shard in dict.fromkeys(shard_B.tolist()):
            assembler = self._windows.assembler((self.part[shard],))
            within = user_B[shard_B == shard] - self.begins[shard]
            key = mix(self.seed, FIXED, assembler.sequences.hash_U[within])
            pieces.append(assembler.batch(within, key, self.rule))
        return pieces[0] if len(pieces) == 1 else concatenate(pieces)
