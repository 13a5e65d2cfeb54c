"""Seeds that follow from what they are for, so that neither batches nor ranks nor restarts change a picture."""

import hashlib

import torch


def seed_of(*parts: str | int) -> int:
    """A 63-bit seed for, say, (seed, user, "picture", 3)."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator_of(*parts: str | int) -> torch.Generator:
    """A generator on the CPU, whatever device will use its numbers: the same pictures on every machine's device."""
    return torch.Generator().manual_seed(seed_of(*parts))
