"""Memory of the best 100 of a catalogue for many users: by how much it grows from a small catalogue to a large one.

    python benchmarks/rank_memory.py --items 1000000 --json out.json

The catalogue is a file mapped into memory, float16, as stored embeddings are; each size runs in a process of its own,
whose anonymous memory is read (the file's own pages belong to the system's cache and go when others need them).
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch
from side_by_side import arguments, fake_history, fake_space, report

from prefprior.inference.predictor import TrainedPredictor
from prefprior.models.diffusion.sampler import Sampler
from prefprior.models.diffusion.schedules import CosineSchedule
from prefprior.models.model import PreferenceModel
from prefprior.models.objectives.denoising import Denoising
from prefprior.models.prior.prior import Prior
from prefprior.models.retriever.two_tower import TwoTower
from prefprior.predictor import Catalogue


def anonymous_mb() -> float:
    """Memory of this process that is backed by no file."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["RssAnon"].split()[0]) / 1024


def measure(args: argparse.Namespace, file: str, items: int) -> dict[str, float]:
    """Peak growth while ranking `items` pictures."""
    mapped = np.memmap(file, dtype=np.float16, mode="c", shape=(items, args.dim))
    catalogue = Catalogue(fake_space(args.dim), [""] * items, torch.from_numpy(mapped))
    prior = Prior(space=catalogue.space, width=args.width, depth=args.depth, heads=max(1, args.width // 64))
    retriever = TwoTower(space=catalogue.space, scale=prior.scale, token_width=prior.width)
    model, objective = PreferenceModel(prior=prior, retriever=retriever), Denoising(schedule=CosineSchedule())
    predictor = TrainedPredictor(model=model, objective=objective, sampler=Sampler())
    history = fake_history(args.people, args.history, args.dim)
    predictor.top(history, Catalogue(catalogue.space, [""], catalogue.embeddings_ND[:1]), 1)
    before, peak, done = anonymous_mb(), [0.0], threading.Event()

    def watch() -> None:
        while not done.is_set():
            peak[0] = max(peak[0], anonymous_mb())
            time.sleep(0.005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    predictor.top(history, catalogue, 100)
    seconds = time.perf_counter() - start
    done.set()
    watcher.join()
    return {"growth_mb": peak[0] - before, "seconds": seconds}


def main() -> None:
    """Measures a small and a large catalogue, each in its own process."""
    parser = arguments(__doc__, people=512, history=16, dim=64)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--measure", nargs=2, metavar=("FILE", "ITEMS"), help=argparse.SUPPRESS)
    parser.set_defaults(width=128, depth=2)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(args, args.measure[0], int(args.measure[1]))))
        return
    sizes = {"small": max(1, args.items // 10), "large": args.items}
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/catalogue.f16"
        rows = np.memmap(file, dtype=np.float16, mode="w+", shape=(args.items, args.dim))
        rng = np.random.default_rng(0)
        for start in range(0, args.items, 65536):
            rows[start : start + 65536] = rng.standard_normal((len(rows[start : start + 65536]), args.dim))
        rows.flush()
        same = [
            f"--{name.replace('_', '-')}={getattr(args, name)}"
            for name in ("people", "history", "dim", "width", "depth")
        ]
        for name, items in sizes.items():
            command = [sys.executable, __file__, *same, "--measure", file, str(items)]
            ran = subprocess.run(command, capture_output=True, text=True, check=True)
            found[name] = json.loads(ran.stdout.splitlines()[-1])
    report(
        args,
        {f"{name}_{key}": value for name, figures in found.items() for key, value in figures.items()}
        | {
            "whole_matrix_mb": args.people * args.items * 4 / 2**20,
            "growth_large_over_small": found["large"]["growth_mb"] / max(found["small"]["growth_mb"], 1e-9),
        },
    )


if __name__ == "__main__":
    main()
