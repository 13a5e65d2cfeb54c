"""Where random numbers come from: a seed follows from what it is for, so that neither batches nor ranks nor restarts
change what is drawn.

Functions take a `torch.Generator`. That of a command's own seed is `torch.Generator().manual_seed(seed)`; that of a
part of the work is `generator_of(seed, user, ...)`; layers, which torch initialises from its global state, are made
under `initialised_by`. Where numpy draws, `np.random.default_rng([seed, part])` does the same. (Draws of histories, a
million at a time, are keyed by `prefprior.data.hashing` instead.)
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def seed_of(*parts: str | int) -> int:
    """A 63-bit seed for, say, (seed, user, "picture", 3)."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator_of(*parts: str | int) -> torch.Generator:
    """A generator on the CPU, whatever device will use its numbers: the same pictures on every machine's device."""
    return torch.Generator().manual_seed(seed_of(*parts))


@contextmanager
def initialised_by(generator: torch.Generator) -> Iterator[None]:
    """Inside, torch's global state (which initialises layers and drops units out) follows from the generator; after
    it, that state is as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
        yield
