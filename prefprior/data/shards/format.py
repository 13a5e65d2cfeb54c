"""Ratings and their embeddings in webdataset tars, one user a sample: what data larger than memory is trained from.

A sample is one member, `<user>.npy`: an array of records (item, rating, pair, past, vector) in order.
Shapes: N ratings, D dimension.
"""

import io
import math
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
import torch
from torch import Tensor

from prefprior.data.embedding.table import fingerprint
from prefprior.data.hashing import id_hashes, mix
from prefprior.data.histories.sequences import Sequences
from prefprior.data.scaling import PersonScale
from prefprior.files import make_folder, read_json, write_json, written_whole
from prefprior.ratings import RatingScale, RatingsTable
from prefprior.space import Space

MANIFEST, COUNTS, FORMAT = "manifest.json", "item_counts.npy", 3
_BLOCK = 512  # of a tar
_LONGEST = 90  # a tar's plain header has 100 characters for a name


@dataclass(frozen=True)
class Shard:
    """One tar and how many users it holds."""

    path: Path
    users: int
    bytes: int
    fingerprint: str


@dataclass(frozen=True, eq=False)
class ShardSet:
    """A folder of shards: what its manifest says."""

    folder: Path
    source: str
    space: Space
    scale: PersonScale
    parts: dict[str, list[Shard]]
    ratings: dict[str, int]
    settled: dict[str, Any]  # how ratings were parted and scaled, by argument (`splits.by`, ...)
    training: str  # the digest of the training part

    @classmethod
    def open(cls, folder: str | Path) -> "ShardSet":
        """Reads the manifest and compares the tars' sizes with it."""
        folder = Path(folder)
        path = folder / MANIFEST
        if not path.is_file():
            raise ValueError(f"{folder} holds no shards: there is no {MANIFEST}. Make them with python shard.py")
        value = read_json(path)
        if value.get("format") != FORMAT:
            raise ValueError(f"{path} is of format {value.get('format')}, not {FORMAT}. Make it again: python shard.py")
        parts: dict[str, list[Shard]] = {}
        for name, shards in value["parts"].items():
            parts[name] = [Shard(folder / s["name"], s["users"], s["bytes"], s["fingerprint"]) for s in shards]
            for shard in parts[name]:
                size = shard.path.stat().st_size if shard.path.is_file() else None
                if size != shard.bytes:
                    found = "is missing" if size is None else f"has {size} bytes instead of {shard.bytes}"
                    raise ValueError(f"{shard.path} {found}. Copy it again, or make the shards again: python shard.py")
        scale = PersonScale(RatingScale(**value["rating_scale"]), **value["person_scale"])
        return cls(
            folder, value["source"], Space.from_dict(value["space"]), scale, parts, value["ratings"], value["settled"],
            value["training"],
        )  # fmt: skip

    def require_settled(self, asked: dict[str, Any]) -> None:
        """Refuses to be read as if ratings had been parted or scaled in another way than they were."""
        differing = [key for key in asked if self.settled.get(key) != asked[key]]
        if differing:
            made = " ".join(f"data.{key}={self.settled.get(key)}" for key in differing)
            wanted = " ".join(f"data.{key}={asked[key]}" for key in differing)
            raise ValueError(
                f"the shards in {self.folder} were made with {made}, which cannot be changed any more. "
                f"Give those words, or make them again: python shard.py ... {wanted}"
            )


def digest(table: RatingsTable) -> str:
    """Who rated what, whatever the order of rows: the same for the same part of the same source."""
    users, items = id_hashes(str(u) for u in table.users), id_hashes(str(i) for i in table.items)
    pair_N = mix(users[table.user_N], items[table.item_N])
    return f"{len(table):x}-{int(np.bitwise_xor.reduce(pair_N)):016x}"


def record_type(dim: int, dtype: np.dtype) -> np.dtype:
    """The record of one rating."""
    return np.dtype([("item", "<i4"), ("rating", "<f4"), ("pair", "<i4"), ("past", "<i4"), ("vector", dtype, (dim,))])


def write_part(
    folder: Path, part: str, sequences: Sequences, vectors_ND: np.ndarray, *, shard_bytes: int, least: int
) -> list[dict[str, Any]]:
    """Writes one part as at least `least` shards of about `shard_bytes`; each has as many users, give or take one.

    Users are dealt out in the order of their hashes, so that shards are alike.
    """
    record = record_type(vectors_ND.shape[1], vectors_ND.dtype)
    total = len(sequences.item_N) * record.itemsize + len(sequences) * 3 * _BLOCK
    count = min(max(math.ceil(total / shard_bytes), least), len(sequences))
    dealt = np.argsort(mix(sequences.hash_U, 1), kind="stable")
    written = []
    for number in range(count):
        path = folder / f"{part}-{number:06d}.tar"
        chosen = dealt[number::count]
        with written_whole(path) as temporary, tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
            for user in chosen:
                data = _sample(sequences, int(user), vectors_ND, record)
                member = tarfile.TarInfo(f"{_key(sequences.users[user], int(sequences.hash_U[user]))}.npy")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        written.append(
            {
                "name": path.name,
                "users": len(chosen),
                "ratings": int(sequences.count_U[chosen].sum()),
                "bytes": path.stat().st_size,
                "fingerprint": fingerprint(path),
            }
        )
    return written


def write_manifest(
    folder: Path,
    source: str,
    space: Space,
    scale: PersonScale,
    parts: dict[str, list[dict[str, Any]]],
    item_counts_I: np.ndarray,
    settled: dict[str, Any],
    training: str,
) -> None:
    """Completes a set of shards, and removes tars that are no part of it.

    `item_counts_I`: how often each row of the catalogue was rated in training; `settled`: how ratings were parted and
    scaled; `training`: the digest of the training part.
    """
    with written_whole(folder / COUNTS) as part, open(part, "wb") as file:
        np.save(file, item_counts_I, allow_pickle=False)
    write_json(
        folder / MANIFEST,
        {
            "format": FORMAT,
            "source": source,
            "space": space.to_dict(),
            "rating_scale": vars(scale.scale),
            "person_scale": {key: getattr(scale, key) for key in ("how", "weight", "centre", "std")},
            "ratings": {name: sum(s["ratings"] for s in shards) for name, shards in parts.items()},
            "settled": settled,
            "training": training,
            "parts": parts,
        },
    )
    named = {shard["name"] for shards in parts.values() for shard in shards}
    for path in make_folder(folder).glob("*.tar"):
        if path.name not in named:
            path.unlink()


def read_shards(shards: list[Shard], dim: int) -> tuple[Sequences, Tensor]:
    """The users of some shards, and the vectors of their ratings: row i of the one is rating i of the other."""
    users: list[str] = []
    hashes: list[int | None] = []
    arrays: list[np.ndarray] = []
    for shard in shards:
        data = shard.path.read_bytes()
        for name, start, size in members(data, shard.path):
            arrays.append(_array(data, start, size, dim, shard.path, name))
            key = name.removesuffix(".npy")
            users.append(unquote(key))
            hashes.append(int(key[1:], 16) if key.startswith("~") else None)
        if fingerprint(shard.path) != shard.fingerprint:
            raise ValueError(
                f"{shard.path} is not what it was when the shards were made. Make them again: python shard.py"
            )
    all_N = np.concatenate(arrays) if len(arrays) > 1 else arrays[0]
    count = np.asarray([len(a) for a in arrays], dtype=np.int64)
    start_U = np.cumsum(count) - count
    hash_U = id_hashes(users)
    for row, given in enumerate(hashes):
        if given is not None:
            hash_U[row] = given
    pair_N = np.ascontiguousarray(all_N["pair"])
    sequences = Sequences(
        users=users,
        start_U=start_U,
        count_U=count,
        past_U=np.add.reduceat(all_N["past"], start_U).astype(np.int64),
        hash_U=hash_U,
        item_N=np.ascontiguousarray(all_N["item"]),
        rating_N=np.ascontiguousarray(all_N["rating"]),
        pair_N=pair_N if (pair_N >= 0).any() else None,
        vector_N=np.arange(len(all_N)),
    )
    return sequences, torch.from_numpy(all_N["vector"])


def members(data: bytes, path: Path) -> Iterator[tuple[str, int, int]]:
    """Name, place and size of each file in a plain tar; many times faster than `tarfile`."""
    at = 0
    while at + _BLOCK <= len(data):
        header = data[at : at + _BLOCK]
        if header[0] == 0:  # the end: blocks of zeros
            return
        if header[257:262] != b"ustar":
            raise ValueError(f"{path} is not a tar made by python shard.py (at byte {at}). Make the shards again.")
        name = header[:100].rstrip(b"\0").decode()
        size = int(header[124:135], 8)
        yield name, at + _BLOCK, size
        at += _BLOCK + -(-size // _BLOCK) * _BLOCK
    raise ValueError(f"{path} is cut short. Copy it again, or make the shards again: python shard.py")


_HEADERS: dict[bytes, np.dtype] = {}


def _array(data: bytes, start: int, size: int, dim: int, path: Path, name: str) -> np.ndarray:
    # The length of an .npy header is at byte 8; its text differs between users only in the shape.
    length = 10 + int.from_bytes(data[start + 8 : start + 10], "little")
    header = data[start + 10 : start + length]
    described = header.split(b", 'shape'", 1)[0]
    record = _HEADERS.get(described)
    if record is None:
        with io.BytesIO(data[start : start + size]) as file:
            np.lib.format.read_magic(file)
            record = np.lib.format.read_array_header_1_0(file)[2]
        if record.names is None or record["vector"].shape != (dim,):
            raise ValueError(f"{path}: {name} does not hold ratings with {dim} dimensions. Make the shards again.")
        _HEADERS[described] = record
    return np.frombuffer(data, record, (size - length) // record.itemsize, start + length)


def _sample(sequences: Sequences, user: int, vectors_ND: np.ndarray, record: np.dtype) -> bytes:
    rows = slice(int(sequences.start_U[user]), int(sequences.start_U[user] + sequences.count_U[user]))
    array = np.zeros(int(sequences.count_U[user]), record)
    array["item"], array["rating"] = sequences.item_N[rows], sequences.rating_N[rows]
    array["pair"] = -1 if sequences.pair_N is None else sequences.pair_N[rows]
    array["past"] = np.arange(len(array)) < sequences.past_U[user]
    array["vector"] = vectors_ND[sequences.item_N[rows]]
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=(1, 0), allow_pickle=False)
    return file.getvalue()


def _key(user: str, hashed: int) -> str:
    # A webdataset key ends at the first dot; a name that is too long is replaced by the hash that draws go by.
    key = quote(user, safe="").replace(".", "%2E").replace("~", "%7E")
    return key if len(key) <= _LONGEST else f"~{hashed:016x}"
