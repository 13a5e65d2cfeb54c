"""The same training over several seeds: chosen figures of its evaluation, mean and standard deviation.

    python scripts/seeds.py --train experiment=world --evaluate people=200 --figures utility@16 recall_20@all

Each run is `python train.py WORDS seed=...` and `python evaluate.py WORDS checkpoint=...`; figures are those of the
prior in the evaluation's metrics.json. Runs that are finished are not run again, so an interrupted sweep continues;
runs with other options, or of another version of the code, are kept in other folders.
"""

import argparse
import hashlib
import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone is enough: nothing needs to be installed

from prefprior.files import read_json
from prefprior.runs import CHECKPOINT, METRICS

ROOT = Path(__file__).resolve().parents[1]
ONLY = "predictors=[prior]"  # unless the words say otherwise: of a word given twice, the later counts


def ran(words: list[str], made: Path) -> None:
    """Runs a command, unless what it makes is there."""
    if not made.is_file():
        print("python " + " ".join(words), flush=True)
        finished = subprocess.run([sys.executable, *words], cwd=ROOT, stdout=subprocess.DEVNULL)
        if finished.returncode:
            sys.exit(f"error: `python {' '.join(words)}` failed; its own message stands above")


def figures(run: Path, seed: int, train: list[str], evaluate: list[str]) -> dict[str, float]:
    """All figures of the prior of one run, by what stands behind its name in metrics.json."""
    ran(["train.py", *train, f"seed={seed}", f"run_dir={run}"], run / CHECKPOINT)
    evaluation = run / f"evaluate-{digest(evaluate)}"
    ran(
        ["evaluate.py", f"checkpoint={run / CHECKPOINT}", f"run_dir={evaluation}", ONLY, *evaluate],
        evaluation / METRICS,
    )
    return {key.split("/")[3]: value for key, value in read_json(evaluation / METRICS).items() if "/prior/" in key}


def digest(words: list[str]) -> str:
    """What keeps runs apart that are of other words or another state of the program: none is taken for another."""
    found = hashlib.sha256("\n".join(words).encode())
    for path in sorted([*(ROOT / "prefprior").rglob("*.py"), *(ROOT / "conf").rglob("*.yaml")]):
        found.update(path.read_bytes())
    return found.hexdigest()[:8]


def spread(values: list[float]) -> str:
    """Mean and standard deviation over seeds."""
    return f"{statistics.mean(values):.3f}" + (f" ±{statistics.stdev(values):.3f}" if len(values) > 1 else "")


def main() -> None:
    """Runs what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", nargs="+", required=True, help="words for train.py")
    parser.add_argument("--evaluate", nargs="*", default=[], help="words for evaluate.py")
    parser.add_argument("--figures", nargs="+", required=True, help="such as recall_20@all; `all` lists them")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "seeds")
    args = parser.parse_args()
    if args.seeds < 1:
        parser.error(f"--seeds must be at least 1, got {args.seeds}")
    folder = args.folder.resolve() / digest(args.train)
    found, names = [], args.figures
    for seed in range(args.seeds):
        found.append(figures(folder / str(seed), seed, args.train, args.evaluate))
        names = sorted(found[0]) if args.figures == ["all"] else args.figures
        if unknown := [name for name in names if name not in found[0]]:  # said after the first seed, not the last
            sys.exit(f"error: there is no figure {', '.join(unknown)}; there are {', '.join(sorted(found[0]))}")
    print("| figure | mean | " + " | ".join(f"seed {seed}" for seed in range(args.seeds)) + " |")
    print("|---" * (2 + args.seeds) + "|")
    for name in names:
        values = [run[name] for run in found]
        print(f"| {name} | {spread(values)} | " + " | ".join(f"{value:.3f}" for value in values) + " |")


if __name__ == "__main__":
    main()
