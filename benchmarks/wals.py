"""One sweep of WALS held to CLIP beside one of `implicit`'s ALS (conjugate gradient) at the same rank, in one run.

    pip install -e '.[benchmarks]'
    python benchmarks/wals.py --json out.json                                      # the size of FLICKR-AES
    python benchmarks/wals.py --people 2000 --items 5000 --ratings 60000 --dim 128

Both see the same 210 x 40,000 table of 193,208 ratings and take turns. A sweep updates all users and all items.
"""

import argparse
import statistics
import time
from itertools import pairwise
from pathlib import Path

import implicit
import numpy as np
import torch
from scipy.sparse import csr_matrix
from side_by_side import fake_space, report

from prefprior.baselines.wals import Wals
from prefprior.predictor import Catalogue, TrainingPart
from prefprior.ratings import RatingScale, RatingsTable


def fake_training(args: argparse.Namespace) -> TrainingPart:
    """Random ratings over random pictures; nobody rates a picture twice."""
    rng = np.random.default_rng(0)
    pair = rng.choice(args.people * args.items, args.ratings, replace=False)
    pair.sort()
    table = RatingsTable(
        source="benchmark", scale=RatingScale(0, 1, 1), users=np.arange(args.people).astype(str),
        items=np.arange(args.items).astype(str), user_N=(pair // args.items).astype(np.int32),
        item_N=(pair % args.items).astype(np.int32), rating_N=rng.integers(0, 2, args.ratings).astype(np.float32),
    )  # fmt: skip
    raw = torch.from_numpy(rng.standard_normal((args.items, args.dim), dtype=np.float32))
    return TrainingPart(table, Catalogue(fake_space(args.dim), [str(i) for i in range(args.items)], raw))


def peak_mb() -> float:
    """The most memory this process ever had resident."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmHWM"].split()[0]) / 1024


def main() -> None:
    """Times sweeps in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=210)
    parser.add_argument("--items", type=int, default=40_000)
    parser.add_argument("--ratings", type=int, default=193_208)
    parser.add_argument("--dim", type=int, default=1280)
    parser.add_argument("--zeros", type=float, default=0.01, help="weight of unrated pairs (implicit's is 1)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=None, help="also write the figures to this file")
    args = parser.parse_args()
    training = fake_training(args)
    ours = Wals(zeros=args.zeros)
    ours.begin(training)
    objective = [ours.objective()]
    before, sweeps, theirs = peak_mb(), [], []
    ours.sweep()
    ours_peak = peak_mb()
    table = training.ratings
    matrix = csr_matrix((np.ones(len(table)), (table.user_N, table.item_N)), shape=(args.people, args.items))
    # A first sweep of each does not count: threads and buffers are made then.
    for round_ in range(args.rounds + 1):
        began = time.perf_counter()
        ours.sweep()
        took = time.perf_counter() - began
        objective.append(ours.objective())
        model = implicit.als.AlternatingLeastSquares(
            factors=args.dim, use_cg=True, use_native=True, iterations=1, random_state=0, calculate_training_loss=False
        )
        seconds: list[float] = []
        model.fit(matrix, show_progress=False, callback=lambda _, elapsed, *rest, to=seconds: to.append(elapsed))
        if round_:
            sweeps.append(took)
            theirs.append(seconds[0])
    report(
        args,
        {
            "wals_seconds": statistics.median(sweeps),
            "implicit_seconds": statistics.median(theirs),
            "wals_over_implicit": statistics.median(sweeps) / statistics.median(theirs),
            "wals_peak_mb": ours_peak,
            "of_which_before_mb": before,
            "objective_rises": sum(b > a * (1 + 1e-6) for a, b in pairwise(objective)),
        },
    )


if __name__ == "__main__":
    main()
