"""What opening a large store of embeddings adds to a process's memory, beside the size of the store.

python benchmarks/store.py --json out.json
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from side_by_side import report

from prefprior.data.embedding.manifest import TableManifest, fingerprint
from prefprior.files import write_text
from prefprior.space import Space

OPEN = """
import sys, time
sys.path.insert(0, {clone!r})
from prefprior.data.embedding.table import EmbeddingTable
def resident():
    return int(open("/proc/self/status").read().split("VmRSS:")[1].split()[0])
before, start = resident(), time.perf_counter()
table = EmbeddingTable.open({folder!r})
catalogue_rows = len(table)
print(resident() - before, time.perf_counter() - start)
"""


def main() -> None:
    """Lays out a store (its zeros take no disk), opens it in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=1280)
    parser.add_argument("--json", type=Path, default=None, help="also write the figures to this file")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        vectors, ids = folder / "vectors-0.npy", folder / "ids-0.txt"
        mapped = np.lib.format.open_memmap(vectors, "w+", np.float16, (args.items, args.dim))
        mapped[:100] = np.random.default_rng(0).standard_normal((100, args.dim))
        mapped.flush()
        write_text(ids, "".join(f"picture-{i}\n" for i in range(args.items)))
        TableManifest(
            folder=folder,
            version=0,
            count=args.items,
            dtype="float16",
            set_aside=0,
            encoder={},
            files={"vectors": (vectors, fingerprint(vectors)), "ids": (ids, fingerprint(ids))},
            space=Space("s", np.zeros(args.dim, np.float32), np.ones(args.dim, np.float32), 1.0),
        ).write()
        code = OPEN.format(clone=str(Path(__file__).resolve().parents[1]), folder=str(folder))
        told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
        size = vectors.stat().st_size / 2**20
    added = int(told[0]) / 1024
    report(
        args,
        {
            "store_megabytes": size,
            "added_megabytes": added,
            "goal_added_megabytes": 50.0,
            "share_of_the_store": added / size,
            "seconds_to_open": float(told[1]),
        },
    )


if __name__ == "__main__":
    main()
