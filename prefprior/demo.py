"""The end of `make demo`: the scoreboard's figures that say how good what was made is, in one small table."""

import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from prefprior.files import make_folder
from prefprior.runs import GALLERY, METRICS, ROOT, last_run, read_config, read_metrics, read_people, write_metrics

# Rows of the scoreboard, with plain names for new readers.
SHOWN = {"prior": "prior", "mean": "mean_of_likes", "nearest": "nearest", "random": "random", "oracle": "oracle"}
DATA = "world/unseen"
COLUMNS = (
    ("2 ratings", "utility@2"),
    ("4", "utility@4"),
    ("8", "utility@8"),
    ("16", "utility@16"),
    ("decoded", "utility_decoded@16"),
    ("several tastes", "utility_several_modes@16"),
    ("covered", "modes@16"),
)


def run() -> Path:
    """Prints the table and where figures and gallery are; returns the demo's folder."""
    gallery = last_run("sample", f"{GALLERY}/index.html", "python sample.py") / "index.html"
    evaluation = last_run("evaluate", METRICS, "python evaluate.py")
    require_one_prior(evaluation, gallery.parents[1])
    figures = shown_figures(read_metrics(evaluation), evaluation)
    folder = make_folder(ROOT / "demo" / f"{datetime.now():%Y-%m-%d_%H-%M-%S}")
    metrics = write_metrics(folder, figures)
    people = read_people(evaluation, [f"{DATA}/prior/{key}" for _, key in COLUMNS])
    Console().print(table(figures, people))
    print(f"metrics: {metrics}")
    print(f"gallery: {gallery}", flush=True)
    return folder


def require_one_prior(evaluation: Path, gallery: Path) -> None:
    """Refuses to show one prior's figures beside another's pictures."""
    priors = [read_config(folder).get("checkpoint") for folder in (evaluation, gallery)]
    if priors[0] != priors[1]:
        raise ValueError(
            f"{evaluation} evaluated {priors[0]}, but {gallery} shows {priors[1]}. Make one of them "
            f"again:\n  python evaluate.py checkpoint={priors[1]}\n  python sample.py "
            f"checkpoint={priors[0]}"
        )


def shown_figures(measured: Mapping[str, float], evaluation: Path) -> dict[str, float]:
    """The figures of the predictors that are shown, under the names they are shown by."""
    needed = [f"{DATA}/{name}/{key}" for name in SHOWN for _, key in COLUMNS]
    if missing := [key for key in needed if key not in measured]:
        raise ValueError(
            f"{evaluation}, the last evaluation, lacks {len(missing)} metrics of the world "
            f"({', '.join(missing[:2])}, ...): it used other data, few users, or only some predictors. "
            "Evaluate with: python evaluate.py (after python train.py, if the last prior was not trained "
            "on the world)"
        )
    parts = [key.split("/") for key in measured if key.startswith(f"{DATA}/")]
    return {
        f"{DATA}/{SHOWN[name]}/{metric}": measured[f"{DATA}/{name}/{metric}"]
        for _, _, name, metric in parts
        if name in SHOWN
    }


def table(figures: Mapping[str, float], people_of: Mapping[str, int]) -> Table:
    """The table of the demo, and the number of users behind each figure."""
    people = {key: people_of[f"{DATA}/prior/{key}"] for _, key in COLUMNS}
    shown = Table(
        title="True utility of pictures for unseen users: 0 is a random picture, 1 the best picture of the "
        "catalogue for this user",
        caption=f"given their newest 2 ratings ({people['utility@2']} users) to 16 ratings "
        f"({people['utility@16']} users). Given 16 ratings: decoded: pictures for "
        f"{people['utility_decoded@16']} users, embedded again; several tastes: the "
        f"{people['modes@16']} users with more than one; covered: the share of their tastes that 16 "
        "samples cover",
    )
    shown.add_column("predictor")
    for heading, _ in COLUMNS:
        shown.add_column(heading, justify="right")
    for name in SHOWN.values():
        cells = [figures[f"{DATA}/{name}/{key}"] for _, key in COLUMNS]
        shown.add_row(name.replace("_", " "), *(f"{cell:.2f}" for cell in cells))
    return shown


def main() -> None:
    """The command."""
    try:
        run()
    except ValueError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
