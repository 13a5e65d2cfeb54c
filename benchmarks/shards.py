"""Streaming from shards beside training and beside plain reading of the same tars, and its memory as users multiply.

    python benchmarks/shards.py --json out.json
    python benchmarks/shards.py --many 100000      # a smaller memory test: a million users take 1 GB of disk

`plain` opens the tars with `tarfile` and each member with `numpy`, and does nothing with them. Memory is the highest
resident size of a process that streams the same number of batches, with shards of the same size.
"""

import io
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from data_loader import SyntheticSource, taking, trainer
from side_by_side import arguments, interleaved, report

from prefprior.data.datamodule import PreferenceDataModule
from prefprior.data.hashing import id_hashes
from prefprior.data.histories.draws import DrawRule
from prefprior.data.histories.sequences import Sequences
from prefprior.data.scaling import PersonScale
from prefprior.data.shards.manifest import ShardSet
from prefprior.data.shards.stored import StoredShards
from prefprior.data.shards.write import write_part
from prefprior.models.prior.prior import Prior
from prefprior.ratings import RatingScale
from prefprior.space import Space

FEW = 10_000
STREAM = """
import resource, sys
sys.path[:0] = [{benchmarks!r}, {clone!r}]
from data_loader import SyntheticSource
from prefprior.data.datamodule import PreferenceDataModule
from prefprior.data.histories.draws import DrawRule
from prefprior.data.shards.stored import StoredShards
source = SyntheticSource(1, 1, 1, 1)
data = PreferenceDataModule(
    source=source,
    shards=StoredShards(root={root!r}),
    draws=DrawRule(history_cap=8),
    batch_size=256,
    epoch_batches={batches},
)
data.setup()
for batch in data.train_dataloader():
    pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


# What the module below asks for by default.
SETTLED = PreferenceDataModule(source=SyntheticSource(1, 1, 1, 1)).tables.settled()


def write(folder: Path, sequences: Sequences, vectors_ND: np.ndarray, space: Space, shard_bytes: int) -> None:
    """One training part."""
    scale = PersonScale(RatingScale(1, 5, 4), "person", 5.0, 3.0, 1.4)
    shards = write_part(folder, "train", sequences, vectors_ND, shard_bytes=shard_bytes, least=8)
    ShardSet(folder, "synthetic", space, scale, {"train": shards}, SETTLED, "").write(np.zeros(0, np.int64))


def many_users(count: int, dim: int, each: int = 4) -> tuple[Sequences, np.ndarray]:
    """Users with a few ratings."""
    random = np.random.default_rng(0)
    users = [f"user-{u}" for u in range(count)]
    return Sequences(
        users=users,
        start_U=np.arange(count) * each,
        count_U=np.full(count, each),
        past_U=np.zeros(count, dtype=np.int64),
        hash_U=id_hashes(users),
        item_N=random.integers(1000, size=count * each).astype(np.int32),
        rating_N=random.integers(1, 6, count * each).astype(np.float32),
        question_N=None,
    ), random.standard_normal((1000, dim)).astype(np.float16)


def peak_kilobytes(root: Path, batches: int) -> int:
    """The highest resident size of a process that streams."""
    here = Path(__file__).resolve().parent
    code = STREAM.format(benchmarks=str(here), clone=str(here.parent), root=str(root), batches=batches)
    return int(
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()[-1]
    )


def plain(tars: list[Path]) -> Callable[[], None]:
    """Reads every sample with the standard library and numpy."""

    def read() -> None:
        for path in tars:
            with tarfile.open(path) as tar:
                for member in tar:
                    file = tar.extractfile(member)
                    assert file is not None
                    np.load(io.BytesIO(file.read()), allow_pickle=False)

    return read


def main() -> None:
    """Times streaming, plain reading and training in turns, then measures memory."""
    parser = arguments(__doc__, people=256, history=32, dim=64)
    parser.add_argument("--targets", type=int, default=8)
    parser.add_argument("--users", type=int, default=4096)
    parser.add_argument("--many", type=int, default=1_000_000)
    args = parser.parse_args()
    source = SyntheticSource(args.users, (args.history + args.targets) * 3 // 2, 6000, args.dim)
    memory = PreferenceDataModule(source=source)
    memory.setup()
    sequences = Sequences.of(memory.ratings)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        folder = root / "speed" / "synthetic" / "synthetic"
        write(folder, sequences, source.vectors, memory.space, shard_bytes=4 * 2**20)
        data = PreferenceDataModule(
            source=source,
            shards=StoredShards(root=str(root / "speed")),
            batch_size=args.people,
            draws=DrawRule(history_cap=args.history, targets_per_user=args.targets),
            epoch_batches=10**9,
        )
        data.setup()
        stream = iter(data.train_dataloader())
        batch = next(stream)
        a_pass = len(sequences) // args.people
        seconds = interleaved(
            {
                "stream": taking(stream, a_pass),
                "plain": plain(sorted(folder.glob("*.tar"))),
                "step": trainer(Prior(space=data.space), batch),
            },
            args.rounds,
        )
        peaks = {}
        for count in (FEW, args.many):
            few, vectors_ND = many_users(count, dim=16)
            write(root / str(count) / "synthetic" / "s", few, vectors_ND, Space.measure("s", vectors_ND), 2**20)
            del few
            peaks[count] = peak_kilobytes(root / str(count), batches=200)
    report(
        args,
        {
            "batches_per_second": a_pass / seconds["stream"],
            "batches_per_step": seconds["step"] / (seconds["stream"] / a_pass),
            "goal_batches_per_step": 5.0,
            "share_of_plain_reading": seconds["plain"] / seconds["stream"],
            "goal_share": 0.6,
            f"peak_megabytes_{FEW}_users": peaks[FEW] / 1024,
            f"peak_megabytes_{args.many}_users": peaks[args.many] / 1024,
            "peak_ratio": peaks[args.many] / peaks[FEW],
            "goal_peak_ratio": 1.2,
        },
    )


if __name__ == "__main__":
    main()
