"""How much of a prior's utility comes from which pictures were rated, and how much from how they were rated.

    python scripts/selection_and_rating.py
    python scripts/selection_and_rating.py checkpoint=runs/train/mine people=100

Unseen users of the built-in world, at several shares of pictures that they looked for (`source.sought`); the rest are
random. With permuted ratings a predictor still knows which pictures were rated, with negated ratings it is told the
opposite of how, and with another user's history it knows neither. All other words are those of `python evaluate.py`.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone is enough: nothing needs to be installed

from prefprior.evaluate import evaluate
from prefprior.evaluation.protocol.controls import CONTROLS
from prefprior.files import read_json
from prefprior.runs import INTERVALS

ROWS = ("", *(f"+{name}" for name in CONTROLS))
FIGURES = ("utility", "auc")
# Whole histories only, and nothing that needs a decoder: what the table has no room for.
QUICK = ("decoding=null", "scoreboard.lengths=[null]", "scoreboard.shown=[]", "predictors=[prior]")


def main(words: list[str] | None = None) -> None:
    """Evaluates at each share and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sought", type=float, nargs="+", default=[0.0, 0.3, 0.6, 0.9])
    args, rest = parser.parse_known_args(words)
    found = {
        share: read_json(evaluate(*QUICK, *rest, f"source.sought={share:g}").folder / INTERVALS, "")
        for share in args.sought
    }
    print("\n".join(table(found)))


def table(found: dict[float, dict[str, Any]]) -> list[str]:
    """Lines of Markdown, from the figures with intervals at each share."""
    lines = [f"| sought | figure | own history | {' | '.join(name.replace('_', ' ') for name in CONTROLS)} |"]
    lines.append("|---" * (2 + len(ROWS)) + "|")
    for share, figures in found.items():
        for name in FIGURES:
            lines.append(f"| {share:g} | {name} | {' | '.join(_cell(figures, row, name) for row in ROWS)} |")
    return lines


def _cell(figures: dict[str, Any], row: str, name: str) -> str:
    """The prior's figure; its name may say what it was trained on."""
    for key, figure in figures.items():
        _, _, predictor, metric = key.split("/")
        if metric == f"{name}@all" and predictor.startswith("prior") and predictor.partition("+")[1:] == _split(row):
            return f"{figure['value']:.3f} ±{(figure['high'] - figure['low']) / 2:.3f}"
    return ""


def _split(row: str) -> tuple[str, str]:
    return ("+", row[1:]) if row else ("", "")


if __name__ == "__main__":
    main()
