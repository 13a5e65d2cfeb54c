"""Every objective on the built-in world, over several seeds: a line each, mean and standard deviation.

    python scripts/objectives.py                            # what docs/results.md shows; hours on one core
    python scripts/objectives.py --objectives flow regression --seeds 2
    python scripts/objectives.py --words prior=small        # any further words for train.py

Each run is `python train.py objective=... seed=...` and `python evaluate.py`; runs that are finished are not run again,
so an interrupted sweep continues (see scripts/seeds.py, which does it).
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone is enough: nothing needs to be installed

from scripts.seeds import ROOT, digest, evaluated, figures, spread

OBJECTIVES = ("regression", "diffusion_eps", "diffusion_x0", "diffusion", "flow")
# What is shown: the evaluation's keys, and what they are called in the table.
COLUMNS = {
    "utility@2": "utility after 2",
    "utility@8": "after 8",
    "utility@16": "after 16",
    "modes@16": "tastes covered",
    "auc@all": "AUC",
    "recall_20@all": "recall@20",
    "diversity@all": "diversity",
}


def main(words: Sequence[str] | None = None) -> None:
    """Runs what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objectives", nargs="+", default=OBJECTIVES, choices=OBJECTIVES)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "objectives")
    parser.add_argument("--words", nargs="*", default=[], help="further words for train.py")
    args = parser.parse_args(words)
    evaluate = [f"people={args.people}", "scoreboard.lengths=[2,8,16]", "scoreboard.controls=[]", "decoding=null"]
    lines: dict[str, list[dict[str, float]]] = {}
    for seed in range(args.seeds):
        for objective in args.objectives:
            train = [f"objective={objective}", *args.words]
            run = args.folder.resolve() / f"{objective}-{digest(train)}" / str(seed)
            evaluation = evaluated(run, f"seed={seed}", train, evaluate)
            lines.setdefault(objective, []).append(figures(evaluation, "prior"))
    print("| objective | " + " | ".join(COLUMNS.values()) + " |")
    print("|---" * (1 + len(COLUMNS)) + "|")
    for objective, runs in lines.items():
        cells = []
        for name in COLUMNS:
            cells.append(spread([run[name] for run in runs]))
        print(f"| `{objective}` | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
