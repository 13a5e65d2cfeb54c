"""Stateless randomness: numbers and permutations that depend on a key alone, never on what was drawn before.

A draw keyed by (seed, pass, user) is the same in one process or eight, from memory or from shards, and after a resume.
"""

import hashlib
from collections.abc import Iterable

import numpy as np

from prefprior.ratings import RatingsTable

# splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
# Four rounds make a strong pseudorandom permutation (Luby and Rackoff, 1988).
_ROUNDS = 4
# Up to here sorting hashes is cheaper, and the halves of a Feistel network would have too few bits to shuffle well.
_FEW = 128


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


def rating_hashes(table: RatingsTable) -> np.ndarray:
    """(N,) uint64, one for each rating: who rated what, whatever the table's codes are.

    Of an item in a question also beside what, and what was picked: an item may be shown to a user again.
    """
    users, items = id_hashes(str(u) for u in table.users), id_hashes(str(i) for i in table.items)
    own_N = mix(users[table.user_N], items[table.item_N])
    if table.question_N is None:
        return own_N
    told_N = mix(own_N, table.picked_N)
    return np.where(table.rated_N, own_N, mix(told_N, table.over_answers(np.add, told_N)))


def training_digest(table: RatingsTable) -> str:
    """Who rated and picked what, whatever the order of rows: the same for the same part of the same source."""
    return f"{len(table):x}-{int(np.bitwise_xor.reduce(rating_hashes(table))):016x}"


def fraction(hashed: np.ndarray) -> np.ndarray:
    """Hashes as numbers in [0, 1)."""
    return (hashed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permuted(index_BK: np.ndarray, size_B: np.ndarray, key_B: np.ndarray) -> np.ndarray:
    """Where row b's keyed permutation of 0..size-1 takes each of its indices (below the size), (B, K) int64.

    A few things are shuffled by sorting hashes, which is exactly uniform; of many no permutation is ever built: a user
    with a million ratings costs what one with a hundred does.
    """
    out = np.empty(index_BK.shape, dtype=np.int64)
    few = size_B <= _FEW
    if few.any():
        place = np.arange(max(int(size_B[few].max()), 1))
        hashed = mix(key_B[few][:, None], place[None])
        hashed[place[None] >= size_B[few][:, None]] = np.iinfo(np.uint64).max
        out[few] = np.take_along_axis(np.argsort(hashed, axis=1), index_BK[few].astype(np.int64), axis=1)
    if not few.all():
        out[~few] = _feistel(index_BK[~few], size_B[~few], key_B[~few])
    return out


def _feistel(index_BK: np.ndarray, size_B: np.ndarray, key_B: np.ndarray) -> np.ndarray:
    """A Feistel network over the next power of four, walked until it lands inside the domain.

    "Cycle walking": Black and Rogaway, "Ciphers with arbitrary finite domains", 2002.
    """
    shape = index_BK.shape
    size, key = (np.broadcast_to(v.astype(np.uint64)[:, None], shape).ravel() for v in (size_B, key_B))
    half_B = np.ceil(np.ceil(np.log2(size_B.astype(np.float64))) / 2).astype(np.uint64)
    half = np.broadcast_to(half_B[:, None], shape).ravel()
    value = index_BK.astype(np.uint64).ravel()
    todo = np.arange(len(value))
    while len(todo):
        v, h, k = value[todo], half[todo], key[todo]
        mask = (np.uint64(1) << h) - np.uint64(1)
        left, right = v >> h, v & mask
        for r in range(_ROUNDS):
            left, right = right, left ^ (mix(k, right + np.uint64(r << 40)) & mask)
        v = (left << h) | right
        value[todo] = v
        todo = todo[v >= size[todo]]
    return value.reshape(shape).astype(np.int64)
