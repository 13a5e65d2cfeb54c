"""A picture for pages: figures against the number of ratings in the history, with intervals, from an evaluation run.

python evaluate.py run_dir=runs/evaluate/mine
python scripts/few_shot_plot.py runs/evaluate/mine docs/images/few_shot.png
"""

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone is enough: nothing needs to be installed

import matplotlib
from matplotlib.figure import Figure

from prefprior.evaluation.report.labels import describe
from prefprior.evaluation.report.plots import COLOURS, MARKERS, STYLE
from prefprior.files import read_json
from prefprior.runs import INTERVALS


def lines(figures: dict[str, Any], metric: str, predictors: list[str]) -> dict[str, dict[str, dict[str, float]]]:
    """Of each predictor, its figures by the history's length, shortest first and "all" last."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for key, figure in figures.items():
        _, _, predictor, name = key.split("/")
        measured, _, length = name.partition("@")
        if measured == metric and predictor in predictors:
            found.setdefault(predictor, {})[length] = figure
    order = {name: sorted(by, key=lambda n: (n == "all", int(n) if n.isdigit() else 0)) for name, by in found.items()}
    return {name: {length: found[name][length] for length in order[name]} for name in predictors if name in found}


@matplotlib.rc_context(STYLE)
def plot(figures: dict[str, Any], metrics: list[str], predictors: list[str]) -> Figure:
    """One panel a metric."""
    canvas = Figure(figsize=(4.4 * len(metrics), 3.8), layout="constrained", dpi=150)
    for axes, metric in zip(canvas.subplots(1, len(metrics), squeeze=False)[0], metrics):
        drawn = lines(figures, metric, predictors)
        if not drawn:
            raise ValueError(f"the run has no {metric} of {', '.join(predictors)}. Choose --metrics it has.")
        for i, (predictor, by_length) in enumerate(drawn.items()):
            x, value = list(by_length), [figure["value"] for figure in by_length.values()]
            axes.plot(x, value, label=predictor, color=COLOURS[i], marker=MARKERS[i], linewidth=2.6 if i == 0 else 1.4)
            if all(figure["low"] is not None for figure in by_length.values()):
                bounds = [[figure[end] for figure in by_length.values()] for end in ("low", "high")]
                axes.fill_between(x, *bounds, color=COLOURS[i], alpha=0.12, linewidth=0)
        axes.set_xlabel("ratings in the history")
        axes.set_ylabel(describe(metric).label)
    canvas.legend(*axes.get_legend_handles_labels(), frameon=False, ncols=4, loc="outside lower center")
    return canvas


def main() -> None:
    """Reads a run, writes a PNG."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder of a run of evaluate.py")
    parser.add_argument("picture", type=Path)
    parser.add_argument("--metrics", nargs="+", default=["utility", "auc"])
    parser.add_argument("--predictors", nargs="+", default=["prior", "wals", "mean", "nearest"])
    args = parser.parse_args()
    if not (args.run / INTERVALS).is_file():
        parser.error(f"{args.run} holds no {INTERVALS}: it is no run of evaluate.py")
    plot(read_json(args.run / INTERVALS), args.metrics, args.predictors).savefig(args.picture)


if __name__ == "__main__":
    main()
