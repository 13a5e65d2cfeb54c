"""Stateless randomness: numbers and permutations that depend on a key alone, never on what was drawn before.

A draw keyed by (seed, pass, user) is the same in one process or eight, from memory or from shards, and after a resume.
"""

import hashlib
from collections.abc import Iterable

import numpy as np

# splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
# Rounds of the Feistel network: four make a strong pseudorandom permutation (Luby and Rackoff, 1988); two more because
# the halves of a small domain have only two bits.
_ROUNDS = 6


def id_hashes(ids: Iterable[str], salt: str = "") -> np.ndarray:
    """One uint64 for each id, the same on every machine and in every version."""
    key = salt.encode()[:64]
    digests = b"".join(hashlib.blake2b(i.encode(), digest_size=8, key=key).digest() for i in ids)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def mix(*parts: np.ndarray | int) -> np.ndarray:
    """Hashes numbers (arrays broadcast) into uint64."""
    state = np.zeros(1, dtype=np.uint64)
    for part in parts:
        value = np.asarray(part if isinstance(part, np.ndarray) else [part]).astype(np.uint64)
        state = (state ^ value) + _GAMMA
        state = (state ^ (state >> np.uint64(30))) * _MIX_1
        state = (state ^ (state >> np.uint64(27))) * _MIX_2
        state = state ^ (state >> np.uint64(31))
    return state


def fraction(hashed: np.ndarray) -> np.ndarray:
    """Hashes as numbers in [0, 1)."""
    return (hashed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permuted(index: np.ndarray, size: np.ndarray | int, key: np.ndarray | int) -> np.ndarray:
    """Where a keyed permutation of 0..size-1 takes each index (all broadcast); no permutation is ever built.

    A Feistel network over the next power of four, walked until it lands inside the domain ("cycle walking", Black and
    Rogaway 2002): a user with a million ratings costs what one with ten does.
    """
    index, size, key = np.broadcast_arrays(np.asarray(index), np.asarray(size), np.asarray(key).astype(np.uint64))
    value = index.astype(np.uint64).ravel()
    size_flat, key_flat = size.astype(np.uint64).ravel(), key.ravel()
    bits = np.ceil(np.log2(np.maximum(size_flat, 2).astype(np.float64)))
    half = np.maximum(np.ceil(bits / 2), 2).astype(np.uint64)
    mask = (np.uint64(1) << half) - np.uint64(1)
    todo = np.flatnonzero(value < size_flat)
    while len(todo):
        v, h, m, k = value[todo], half[todo], mask[todo], key_flat[todo]
        left, right = v >> h, v & m
        for r in range(_ROUNDS):
            left, right = right, left ^ (mix(k, right + np.uint64(r << 40)) & m)
        v = (left << h) | right
        value[todo] = v
        todo = todo[v >= size_flat[todo]]
    return value.reshape(index.shape).astype(np.int64)
