"""Makes a set of shards from tables in memory."""

import math
from pathlib import Path

import numpy as np
from lightning.pytorch.utilities import rank_zero_info

from prefprior.data.hashing import mix, training_digest
from prefprior.data.histories.sequences import Sequences
from prefprior.data.shards.manifest import Shard, ShardSet
from prefprior.data.shards.tars import RECORD, write_shard
from prefprior.data.tables import PreferenceTables
from prefprior.files import make_folder

# What a tar and .npy add to a sample: two headers of each, and padding to blocks of 512 bytes.
OVERHEAD = 2048


def write_shards(tables: PreferenceTables, folder: Path, *, shard_bytes: int, least: int) -> ShardSet:
    """Writes all parts, the training part as at least `least` shards; a folder is for one source and one space."""
    if shard_bytes < 1 or least < 1:
        raise ValueError(
            f"shards need a size above 0, and there must be at least 1; got {shard_bytes} bytes and {least}"
        )
    make_folder(folder)
    vectors_ID = tables.catalogue.embeddings_ND.numpy()
    parts = {}
    for name in tables.part_names:
        sequences = tables.sequences(name)
        parts[name] = write_part(
            folder, name, sequences, vectors_ID, shard_bytes=shard_bytes, least=least if name == "train" else 1
        )
        rank_zero_info(f"{name}: {len(sequences):,} users in {len(parts[name])} shards")
    digest = training_digest(tables.part("train"))
    made = ShardSet(
        folder, tables.source.name, tables.space, tables.scale, parts, tables.settled(), digest, tables.has_choices
    )
    made.write(tables.item_counts())
    return made


def write_part(
    folder: Path, part: str, sequences: Sequences, vectors_ID: np.ndarray, *, shard_bytes: int, least: int
) -> list[Shard]:
    """Writes one part as at least `least` shards of about `shard_bytes`; the numbers of users differ by one at most.

    Users go to shards in the order of their hashes, so that shards are alike. (webdataset.ShardWriter starts a new
    shard after so many samples: the last one would be short, and there could be fewer shards than workers.)
    """
    size = len(sequences.item_N) * (RECORD.itemsize + vectors_ID.shape[1] * vectors_ID.itemsize)
    total = size + len(sequences) * OVERHEAD
    count = min(max(math.ceil(total / shard_bytes), least), len(sequences))
    order = np.argsort(mix(sequences.hash_U, 1), kind="stable")
    return [
        write_shard(folder / f"{part}-{number:06d}.tar", sequences, order[number::count], vectors_ID)
        for number in range(count)
    ]
