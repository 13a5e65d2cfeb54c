"""The scoreboard as one self-contained HTML file.

Shapes: B users, n samples, D dimension.
"""

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import torch
from PIL.Image import Image

from prefprior.baselines.cosine import CosineRanker
from prefprior.data.pictures import Pictures
from prefprior.evaluation.protocol.bootstrap import Figure
from prefprior.evaluation.protocol.decoding import DECODED
from prefprior.evaluation.protocol.results import Condition, Outcome, Results
from prefprior.evaluation.report import plots
from prefprior.evaluation.report.labels import describe, order
from prefprior.evaluation.report.table import best, formatted, headline, label, metrics_shown
from prefprior.files import write_text
from prefprior.history import hide_seen

CURVES = ("utility", "auc", "recall_20", "ndcg_20", "personal_gap", "cosine_margin")
PEOPLE_SHOWN = 6
PICTURES_SHOWN = 6
PICTURE_SIZE = 96


@dataclass(frozen=True)
class Cell:
    """A figure as a table shows it."""

    value: str
    interval: str
    best: bool = False


def write_report(path: Path, results: Results, facts: dict[str, Any], pictures: Pictures | None) -> None:
    """Tables with intervals, few-shot curves, separation, the permutation test, a map, and pictures where there are."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("prefprior.evaluation.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    first = results.predictors[0]
    whole = results.find(first)
    assert whole is not None, "whole histories are always among the conditions"
    pictured = results.find(first, Condition(results.decoded_length)) or whole
    names = headline(results)
    # Pictures are not decoded under controls.
    embedded = [name for name in names if not name.endswith(DECODED)]
    everything = order(metrics_shown(results))
    html = environment.get_template("report.html.j2").render(
        results=results,
        facts=facts,
        first=first,
        held=int(results.people.held_valid_BT.sum()),
        liked=int(results.people.held_liked_BT.sum()),
        names=names,
        describe=describe,
        label=lambda name: label(results, name),
        rows=table_rows(results, names, controls=False),
        control_names=embedded,
        control_rows=table_rows(results, embedded, controls=True),
        differences=differences(results, names),
        all_names=everything,
        all_rows=table_rows(results, everything, controls=False),
        curves=[
            svg for shown in (False, True) for name in CURVES if (svg := plots.few_shot(results, name, shown=shown))
        ],
        separation=plots.separation(whole),
        permutation=plots.permutation(whole),
        map=plots.taste_map(results, whole),
        people=[] if pictures is None else picture_rows(results, pictured, pictures),
    )
    write_text(path, html)


def table_rows(results: Results, names: list[str], controls: bool) -> list[dict[str, Any]]:
    """Rows of predictors from whole histories, with or without their controls; the best of each column is marked."""
    top = {name: best(results, name) for name in names}
    rows = []
    for outcome in results.whole_histories(controls=controls):
        changed = outcome.condition.control is not None
        cells = [_cell(results.figure(outcome, name), name, None if changed else top[name]) for name in names]
        rows.append({"name": outcome.row, "control": changed, "cells": cells})
    return rows


def _cell(figure: Figure | None, metric: str, top: float | None) -> Cell | None:
    if figure is None:
        return None
    interval = "" if figure.low != figure.low else f"{formatted(figure.low)} to {formatted(figure.high)}"
    return Cell(formatted(figure.value, metric), interval, figure.value == top)


def differences(results: Results, names: list[str]) -> list[dict[str, Any]]:
    """Paired differences as a table shows them; those whose interval leaves out 0 are marked."""
    rows = []
    for predictor in results.predictors[1:]:
        cells = [_difference_cell(results.difference(predictor, name)) for name in names]
        rows.append({"name": f"minus {predictor}", "control": False, "cells": cells})
    return rows


def _difference_cell(figure: Figure | None) -> Cell | None:
    if figure is None:
        return None
    marked = figure.low > 0 or figure.high < 0
    return Cell(f"{figure.value:+.3f}", f"{figure.low:+.3f} to {figure.high:+.3f}", marked)


def picture_rows(results: Results, outcome: Outcome, pictures: Pictures) -> list[dict[str, Any]]:
    """For a few users: what they liked so far, the pictures nearest to their samples, and those made of them."""
    if outcome.samples_BnD is None:
        return []
    place, catalogue = {user: b for b, user in enumerate(results.people.users)}, results.people.catalogue
    people = results.people.take(torch.tensor([place[user] for user in outcome.users]))
    cosine, rows = CosineRanker(), []
    made = [] if outcome.decoded is None else outcome.decoded.pictures
    last = len(made or people) - 1
    for b in np.unique(np.linspace(0, last, PEOPLE_SHOWN).astype(int)):
        person = people.take(torch.tensor([b]))
        history = person.history(outcome.condition.length)
        liked = history.items_BK[0][history.liked_BK[0]][:PICTURES_SHOWN]
        scores_nN = cosine(catalogue.space.directions(outcome.samples_BnD[b]), catalogue)
        hide_seen(scores_nN, person.seen_item_BS.expand(len(scores_nN), -1))
        near = list(dict.fromkeys(scores_nN.argmax(1).tolist()))[:PICTURES_SHOWN]
        rows.append(
            {
                "user": person.users[0],
                "liked": [_inline(pictures.open(catalogue.ids[i]), catalogue.ids[i]) for i in liked.tolist()],
                "nearest": [_inline(pictures.open(catalogue.ids[i]), catalogue.ids[i]) for i in near],
                "made": [_inline(image, "made") for image in made[b]] if made else [],
            }
        )
    return rows


def _inline(image: Image, name: str) -> dict[str, str]:
    small = image.convert("RGB")
    small.thumbnail((PICTURE_SIZE, PICTURE_SIZE))
    out = io.BytesIO()
    small.save(out, format="JPEG", quality=85)
    return {"name": name, "src": "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()}
