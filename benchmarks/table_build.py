"""Building the validated table of a FLICKR-AES-sized CSV, beside merely reading it with pandas.

python benchmarks/table_build.py --json out.json
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from side_by_side import interleaved, report

from prefprior.data.sources.flickr_aes import RATINGS, FlickrAesSource

ROWS, WORKERS, PICTURES = 193_208, 210, 40_988


def main() -> None:
    """Times both in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, default=None, help="also write the figures to this file")
    args = parser.parse_args()
    random = np.random.default_rng(0)
    pairs = random.choice(WORKERS * PICTURES, ROWS, replace=False)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / RATINGS
        lines = [
            f"A{w:013d}, farm{p % 9}_{p % 999}_{p:011d}.jpg, {r}\n"
            for w, p, r in zip(pairs % WORKERS, pairs // WORKERS, random.integers(1, 6, ROWS))
        ]
        path.write_text(" worker, imagePair, score\n" + "".join(lines))
        seconds = interleaved(
            {"build": lambda: FlickrAesSource(root=temporary).ratings(), "pandas": lambda: pd.read_csv(path)},
            args.rounds,
        )
        table = FlickrAesSource(root=temporary).ratings()
    assert len(table) == ROWS
    report(
        args,
        {
            "rows": ROWS,
            "seconds": seconds["build"],
            "goal_seconds": 2.0,
            "pandas_read_csv_seconds": seconds["pandas"],
            "over_pandas": seconds["build"] / seconds["pandas"],
        },
    )


if __name__ == "__main__":
    main()
