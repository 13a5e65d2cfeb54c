"""The same training over several seeds or folds: chosen figures of its evaluation, mean and standard deviation.

    python scripts/seeds.py --train experiment=world --evaluate people=200 --figures utility@16 recall_20@all
    python scripts/seeds.py --folds --seeds 5 --train data.splits.by=user data.splits.test=0.2 \\
        --evaluate 'predictors=[prior,wals]' --figures auc@all --against wals

Each run is `python train.py WORDS seed=...`, or with --folds `data.splits.fold=...`, and `python evaluate.py WORDS
checkpoint=...`; figures are those in the evaluation's metrics.json. --against adds the other predictors' figures and
the differences paired by user, each with a 95 % interval: over the users of all folds together, which are disjoint;
over seeds, whose users are the same, the mean interval.

Runs that are finished are not run again, so an interrupted sweep continues; runs with other options, or of another
version of the code, are kept in other folders.
"""

import argparse
import hashlib
import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone is enough: nothing needs to be installed

from prefprior.files import read_json
from prefprior.runs import CHECKPOINT, INTERVALS, METRICS

ROOT = Path(__file__).resolve().parents[1]
ONLY = "predictors=[prior]"  # unless the words say otherwise: of a word given twice, the later counts


def ran(words: list[str], made: Path) -> None:
    """Runs a command, unless what it makes is there."""
    if not made.is_file():
        print("python " + " ".join(words), flush=True)
        finished = subprocess.run([sys.executable, *words], cwd=ROOT, stdout=subprocess.DEVNULL)
        if finished.returncode:
            sys.exit(f"error: `python {' '.join(words)}` failed; its own message stands above")


def evaluated(run: Path, varied: str, train: list[str], evaluate: list[str]) -> Path:
    """The folder of the evaluation of one run."""
    ran(["train.py", *train, varied, f"run_dir={run}"], run / CHECKPOINT)
    evaluation = run / f"evaluate-{digest(evaluate)}"
    ran(
        ["evaluate.py", f"checkpoint={run / CHECKPOINT}", f"run_dir={evaluation}", ONLY, *evaluate],
        evaluation / METRICS,
    )
    return evaluation


def figures(evaluation: Path, predictor: str) -> dict[str, float]:
    """All figures of a predictor, by what stands behind its name in metrics.json."""
    found = read_json(evaluation / METRICS).items()
    return {key.split("/")[3]: value for key, value in found if f"/{predictor}/" in key}


def difference(evaluations: list[Path], other: str, figure: str, *, disjoint: bool) -> str:
    """The prior's lead over another predictor, paired by user, over all runs."""
    known = [read_json(evaluation / INTERVALS) for evaluation in evaluations]
    each = [part[key] for part in known for key in part if key.endswith(f"/prior-{other}/{figure}")]
    if len(each) < len(evaluations):
        sys.exit(f"error: there is no difference of {figure} between the prior and {other}")
    weights = [part["people"] if disjoint else 1 for part in each]
    halves = [weight * (part["high"] - part["low"]) / 2 for weight, part in zip(weights, each, strict=True)]
    mean = sum(weight * part["value"] for weight, part in zip(weights, each, strict=True)) / sum(weights)
    # Independent errors add up as squares, those of the same users as they are.
    half = (sum(half**2 for half in halves) ** 0.5 if disjoint else sum(halves)) / sum(weights)
    return f"{mean:+.3f} [{mean - half:+.3f}, {mean + half:+.3f}]"


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
    parser.add_argument("--folds", action="store_true", help="vary data.splits.fold instead of the seed")
    parser.add_argument("--against", nargs="+", default=[], help="other predictors of the evaluation, compared by user")
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "seeds")
    args = parser.parse_args()
    if args.seeds < 1:
        parser.error(f"--seeds must be at least 1, got {args.seeds}")
    folder = args.folder.resolve() / digest(args.train)
    key, kind = ("data.splits.fold", "fold") if args.folds else ("seed", "seed")
    evaluations, names = list[Path](), args.figures
    for number in range(args.seeds):
        run = folder / (f"fold{number}" if args.folds else str(number))
        evaluations.append(evaluated(run, f"{key}={number}", args.train, args.evaluate))
        for predictor in ("prior", *args.against):
            known = figures(evaluations[0], predictor)
            names = sorted(known) if args.figures == ["all"] else args.figures
            if unknown := [name for name in names if name not in known]:  # said after the first run, not the last
                there = f"; there are {', '.join(sorted(known))}" if known else f" of {predictor}"
                sys.exit(f"error: there is no figure {', '.join(unknown)}{there}")
    print("| figure | mean | " + " | ".join(f"{kind} {number}" for number in range(args.seeds)) + " |")
    print("|---" * (2 + args.seeds) + "|")
    for predictor in ("prior", *args.against):
        for name in names:
            values = [figures(evaluation, predictor)[name] for evaluation in evaluations]
            named = f"{predictor}: {name}" if args.against else name
            print(f"| {named} | {spread(values)} | " + " | ".join(f"{value:.3f}" for value in values) + " |")
    if args.against:
        print("\n| prior minus | " + " | ".join(names) + " |")
        print("|---" * (1 + len(names)) + "|")
        for other in args.against:
            told = [difference(evaluations, other, name, disjoint=args.folds) for name in names]
            print(f"| {other} | " + " | ".join(told) + " |")


if __name__ == "__main__":
    main()
