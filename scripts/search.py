"""A search for hyper-parameters with Optuna; each trial is a training run of its own.

    python scripts/search.py --study lr --trials 12 --search optimizer.lr=1e-4..1e-2 --words trainer.max_epochs=3
    python scripts/search.py --study both --trials 6 --search optimizer.lr=1e-3,2e-3 prior.dropout=0,0.1,0.2

`a..b` is a range, on a logarithmic scale where its ends are a factor of ten apart or more; `a,b,c` a choice. Where all
are choices, no combination is tried twice. What is looked at is `monitor`, as training knows it. The study is kept in
its folder: the same command adds trials to it.
"""

import argparse
import math
import sys
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone is enough: nothing needs to be installed

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import Trial, TrialState

from prefprior import train
from prefprior.files import make_folder


def ranges(words: list[str]) -> dict[str, str]:
    """What is searched, by its key."""
    wrong = [word for word in words if not all(word.partition("=")) or (".." not in word and "," not in word)]
    if wrong:
        raise ValueError(f"--search takes key=a..b or key=a,b,c; got {', '.join(wrong)}")
    return dict(word.split("=", 1) for word in words)


def suggested(trial: Trial, key: str, span: str) -> str:
    """A trial's value of a key, as a word of a command line."""
    if ".." not in span:
        return f"{key}={trial.suggest_categorical(key, span.split(','))}"
    ends = span.split("..")
    try:
        low, high = map(float, ends)
    except ValueError:
        raise ValueError(f"{key}={span}: the ends of a range are two numbers") from None
    if not math.isfinite(low) or not low < high < math.inf:
        raise ValueError(f"{key}={span}: a range begins with its lower end")
    log = low > 0 and high >= 10 * low
    if all(end.isdigit() for end in ends):
        return f"{key}={trial.suggest_int(key, int(low), int(high), log=log)}"
    return f"{key}={trial.suggest_float(key, low, high, log=log)!r}"


def search(folder: Path, spans: Mapping[str, str], words: list[str], trials: int, seed: int = 0) -> optuna.Study:
    """Adds trials to the study in a folder; each is a run in it, named by its number."""
    log = make_folder(folder).resolve() / "study.log"  # read again later, from wherever that is
    choices = all(".." not in span for span in spans.values())
    study = optuna.create_study(
        study_name=folder.name,
        storage=JournalStorage(JournalFileBackend(str(log))),
        sampler=optuna.samplers.BruteForceSampler(seed) if choices else optuna.samplers.TPESampler(seed=seed),
        direction="maximize" if "monitor_mode=max" in words else "minimize",
        load_if_exists=True,
    )

    def figure(trial: Trial) -> float:
        try:
            chosen = [suggested(trial, key, span) for key, span in spans.items()]
            run = train(*words, *chosen, f"run_dir={folder / str(trial.number)}")
            if run.figure is None:
                raise ValueError("training returned no figure: nothing is validated, or monitor names no loss")
        except ValueError as error:
            # A learning rate may be too high for one trial. What fails at once is a mistake in the words.
            if not study.get_trials(states=(TrialState.COMPLETE,)):
                sys.exit(f"error: {error}")
            raise
        return float(run.figure)

    study.optimize(figure, n_trials=trials, catch=(ValueError,))
    return study


def main() -> None:
    """Searches and prints every trial, the best first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--search", nargs="+", required=True, help="key=a..b or key=a,b,c")
    parser.add_argument("--words", nargs="*", default=[], help="words for train.py")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--study", default="study", help="its name, and that of its folder")
    parser.add_argument("--folder", type=Path, default=Path("runs/search"))
    parser.add_argument("--seed", type=int, default=0, help="of the search; seed=... in --words is that of training")
    args = parser.parse_args()
    try:
        study = search(args.folder / args.study, ranges(args.search), args.words, args.trials, args.seed)
    except ValueError as error:
        sys.exit(f"error: {error}")
    done = study.get_trials(states=(TrialState.COMPLETE,))
    print("| trial | monitored | " + " | ".join(study.best_params) + " |")
    print("|---" * (2 + len(study.best_params)) + "|")
    valued = [(trial.value, trial) for trial in done if trial.value is not None]
    for value, trial in sorted(valued, key=lambda pair: pair[0], reverse=study.direction.name == "MAXIMIZE"):
        print(f"| {trial.number} | {value:.5g} | " + " | ".join(str(v) for v in trial.params.values()) + " |")
    print(f"best: {args.folder / args.study / str(study.best_trial.number)}")


if __name__ == "__main__":
    main()
