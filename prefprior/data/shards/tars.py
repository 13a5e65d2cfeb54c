"""Users' ratings and embeddings in webdataset tars, a sample a user.

A sample is `<user>.ratings.npy`, records of (item, rating, question, past, shown, propensity) in order, and
`<user>.embeddings.npy`, the embedding of each. Any webdataset reader opens them:
webdataset.WebDataset(str(path), shardshuffle=False).decode()
Shapes: N ratings, D dimension.
"""

import hashlib
import io
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote

import numpy as np
import torch
import webdataset
from torch import Tensor
from webdataset.autodecode import Decoder, DecodingError
from webdataset.tariterators import group_by_keys, tar_file_expander

from prefprior.data.hashing import id_hashes
from prefprior.data.histories.sequences import Sequences
from prefprior.data.shards.manifest import AGAIN, Shard
from prefprior.files import read_bytes, written_whole
from prefprior.ratings import starts_answer

RATINGS, EMBEDDINGS = "ratings.npy", "embeddings.npy"
# item: the row of the catalogue; question: the user's own number of a choice, -1 for a rating; past: may only be
# history; shown: -1 and propensity: NaN where unknown.
RECORD = np.dtype(
    [("item", "<i4"), ("rating", "<f4"), ("question", "<i8"), ("past", "?"), ("shown", "i1"), ("propensity", "<f4")]
)
# The handlers of webdataset that these two need: its default ones unpickle what a tar calls a pickle.
DECODER = Decoder([], pre=[], only=[RATINGS, EMBEDDINGS])


def write_shard(path: Path, sequences: Sequences, user_B: np.ndarray, vectors_ID: np.ndarray) -> Shard:
    """Writes some users; `vectors_ID` are of the catalogue. The same users always give the same bytes."""
    # PAX has no limit on the length of a name. A time in whole seconds needs no header of its own.
    with (
        written_whole(path) as temporary,
        open(temporary, "wb") as file,
        webdataset.TarWriter(file, mtime=0, format="PAX_FORMAT") as tar,
    ):
        for user in user_B:
            tar.write(_sample(sequences, int(user), vectors_ID))
    return Shard.of(path, len(user_B), int(sequences.count_U[user_B].sum()))


def read_shards(shards: Sequence[Shard], dim: int) -> tuple[Sequences, Tensor]:
    """The users of some shards, and the vectors of their ratings: row i of the one is rating i of the other."""
    users: list[UserSample] = [user for shard in shards for user in read_shard(shard, dim)]
    vectors_ND = np.concatenate([user.vectors_ND for user in users])
    sequences = _sequences([user.name for user in users], [user.record_N for user in users])
    return replace(sequences, vector_N=np.arange(len(vectors_ND))), torch.from_numpy(vectors_ND)


def read_ratings(shards: Sequence[Shard], dim: int) -> Sequences:
    """The users of some shards without the vectors, which are in memory for one user at a time."""
    users = [(user.name, user.record_N) for shard in shards for user in read_shard(shard, dim)]
    return _sequences([name for name, _ in users], [record_N for _, record_N in users])


def _sequences(names: list[str], records: list[np.ndarray]) -> Sequences:
    record_N = np.concatenate(records)
    count_U = np.asarray([len(record) for record in records], dtype=np.int64)
    start_U = np.cumsum(count_U) - count_U
    question_N, shown_N, propensity_N = (
        np.ascontiguousarray(record_N[name]) for name in ("question", "shown", "propensity")
    )
    return Sequences(
        users=names,
        start_U=start_U,
        count_U=count_U,
        past_U=np.add.reduceat(record_N["past"].astype(np.int64), start_U),
        hash_U=id_hashes(names),
        item_N=np.ascontiguousarray(record_N["item"]),
        rating_N=np.ascontiguousarray(record_N["rating"]),
        question_N=question_N if (question_N >= 0).any() else None,
        shown_N=shown_N.astype(bool) if (shown_N >= 0).all() else None,
        propensity_N=None if np.isnan(propensity_N).any() else propensity_N,
    )


class UserSample(NamedTuple):
    """One user, as a shard holds them."""

    name: str
    record_N: np.ndarray
    vectors_ND: np.ndarray


def read_shard(shard: Shard, dim: int) -> Iterator[UserSample]:
    """The users of one shard, refused unless it is to the bit what the manifest says."""
    data = read_bytes(shard.path)
    if hashlib.sha256(data).hexdigest() != shard.sha256:
        raise ValueError(f"{shard.path} has changed since the shards were made. {AGAIN}")
    # The stream is opened here: webdataset's own opener takes a path such as pipe:... for a command.
    files = tar_file_expander([{"url": str(shard.path), "stream": io.BytesIO(data)}])
    count = ratings = 0
    try:
        for sample in map(DECODER, group_by_keys(files)):
            user = _checked(sample, dim)
            yield user
            count, ratings = count + 1, ratings + len(user.record_N)
    except (tarfile.TarError, DecodingError, KeyError, ValueError, AttributeError) as error:
        told = f"there is no {error}" if isinstance(error, KeyError) else str(error.args[0] if error.args else "")
        raise ValueError(
            f"{shard.path} does not contain ratings with embeddings of {dim} dimensions "
            f"({told or 'no arrays'}). {AGAIN}"
        ) from error
    if (count, ratings) != (shard.users, shard.ratings):
        raise ValueError(
            f"{shard.path} contains {count} users with {ratings} ratings instead of {shard.users} with "
            f"{shard.ratings}. {AGAIN}"
        )


def _checked(sample: dict[str, np.ndarray], dim: int) -> UserSample:
    record_N, vectors_ND = sample[RATINGS], sample[EMBEDDINGS]
    if record_N.dtype != RECORD or vectors_ND.shape != (len(record_N), dim) or len(record_N) == 0:
        raise ValueError(f"{sample['__key__']}: {len(record_N)} of {record_N.dtype}, vectors of {vectors_ND.shape}")
    if not (np.isfinite(vectors_ND).all() and np.isfinite(record_N["rating"]).all() and (record_N["item"] >= 0).all()):
        raise ValueError(f"{sample['__key__']}: numbers that are not finite, or items below 0")
    shown_N, propensity_N = record_N["shown"], record_N["propensity"]
    if (abs(shown_N) > 1).any() or not (np.isnan(propensity_N) | ((propensity_N > 0) & (propensity_N <= 1))).all():
        raise ValueError(f"{sample['__key__']}: shown that is not 0 or 1, or a propensity outside of (0, 1]")
    if not _is_whole(record_N["question"]):
        raise ValueError(f"{sample['__key__']}: a question of a single item, or whose items are apart")
    return UserSample(unquote(str(sample["__key__"])), record_N, vectors_ND)


def _is_whole(question_N: np.ndarray) -> bool:
    """Whether every question has several rows, side by side."""
    _, count = np.unique(question_N[question_N >= 0], return_counts=True)
    runs = int((starts_answer(np.zeros_like(question_N), question_N) & (question_N >= 0)).sum())
    return bool((question_N >= -1).all() and (count > 1).all() and runs == len(count))


def _sample(sequences: Sequences, user: int, vectors_ID: np.ndarray) -> dict[str, str | np.ndarray]:
    rows = slice(int(sequences.start_U[user]), int(sequences.start_U[user] + sequences.count_U[user]))
    record_N = np.zeros(int(sequences.count_U[user]), RECORD)
    record_N["item"], record_N["rating"] = sequences.item_N[rows], sequences.rating_N[rows]
    record_N["question"] = -1 if sequences.question_N is None else sequences.question_N[rows]
    record_N["shown"] = -1 if sequences.shown_N is None else sequences.shown_N[rows]
    record_N["propensity"] = np.nan if sequences.propensity_N is None else sequences.propensity_N[rows]
    record_N["past"] = np.arange(len(record_N)) < sequences.past_U[user]
    # A webdataset key ends at the first dot, and may be the path of a file.
    key = quote(sequences.users[user], safe="").replace(".", "%2E")
    return {"__key__": key, RATINGS: record_N, EMBEDDINGS: vectors_ID[sequences.item_N[rows]]}
