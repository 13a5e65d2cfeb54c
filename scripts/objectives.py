"""Every objective on the built-in world, over several seeds: a line each, mean and spread.

    python scripts/objectives.py                            what docs/results.md shows; hours on one core
    python scripts/objectives.py --objectives flow regression --seeds 2
    python scripts/objectives.py --words prior=small        any further words for train.py

Each run is `python train.py objective=... seed=...` and `python evaluate.py`; runs that are finished are not run again,
so what was interrupted goes on.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone is enough: nothing needs to be installed

from prefprior.files import read_json
from prefprior.runs import CHECKPOINT, METRICS
from scripts.seeds import ROOT, ran, spread

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


def figures(objective: str, seed: int, folder: Path, words: list[str], people: int) -> dict[str, float]:
    """One run's figures by the names of `COLUMNS`."""
    # What was made with other words lies elsewhere, so that it is never taken for this.
    run = (folder / "-".join([objective, str(seed), *(word.replace("/", "_") for word in words)])).resolve()
    ran(["train.py", f"objective={objective}", f"seed={seed}", f"run_dir={run}", *words], run / CHECKPOINT)
    board = run / f"evaluate-{people}"
    ran(
        [
            "evaluate.py", f"checkpoint={run / CHECKPOINT}", f"run_dir={board}", "predictors=[prior]",
            f"people={people}", "board.lengths=[2,8,16]", "board.controls=[]", "decoding=null",
        ],
        board / METRICS,
    )  # fmt: skip
    found = {key.split("/")[3]: value for key, value in read_json(board / METRICS).items() if "/prior/" in key}
    return {name: found[name] for name in COLUMNS}


def main() -> None:
    """Runs what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objectives", nargs="+", default=OBJECTIVES, choices=OBJECTIVES)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "objectives")
    parser.add_argument("--words", nargs="*", default=[], help="further words for train.py")
    args = parser.parse_args()
    lines = {}
    for seed in range(args.seeds):
        for objective in args.objectives:
            found = figures(objective, seed, args.folder, args.words, args.people)
            lines.setdefault(objective, []).append(found)
    print("| objective | " + " | ".join(COLUMNS.values()) + " |")
    print("|---" * (1 + len(COLUMNS)) + "|")
    for objective, runs in lines.items():
        cells = []
        for name in COLUMNS:
            cells.append(spread([run[name] for run in runs]))
        print(f"| `{objective}` | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
