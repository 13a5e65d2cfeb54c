"""The scoreboard as one self-contained HTML file.

Shapes: B people, n samples, D dimension.
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

from prefprior.baselines.cosine import CosineRanker, unit
from prefprior.data.pictures import Pictures
from prefprior.evaluation.protocol.bootstrap import Figure, difference, weights
from prefprior.evaluation.protocol.scoreboard import Board, Outcome
from prefprior.evaluation.report import plots
from prefprior.evaluation.report.labels import DECODED, describe, order
from prefprior.evaluation.report.table import best, headline, label, shown, written
from prefprior.files import write_text

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


def write_report(
    path: Path, board: Board, figures: dict[str, Figure], facts: dict[str, Any], pictures: Pictures | None
) -> None:
    """Tables with intervals, few-shot curves, separation, the permutation test, a map, and pictures where there are."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("prefprior.evaluation.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    first = board.predictors[0]
    whole = board.find(first)
    assert whole is not None, "a board always holds the outcome from whole histories"
    pictured = board.find(first, board.decoded_length) or whole
    names = headline(board, figures)
    # Pictures are not decoded under controls.
    embedded = [name for name in names if not name.endswith(DECODED)]
    everything = order(shown(board, figures))
    html = environment.get_template("report.html.j2").render(
        board=board,
        facts=facts,
        first=first,
        held=int(board.people.held_valid_BT.sum()),
        liked=int(board.people.held_liked_BT.sum()),
        names=names,
        describe=describe,
        label=lambda name: label(board, name),
        rows=table_rows(board, figures, names, controls=False),
        control_names=embedded,
        control_rows=table_rows(board, figures, embedded, controls=True),
        differences=differences(board, names),
        all_names=everything,
        all_rows=table_rows(board, figures, everything, controls=False),
        curves=[svg for name in CURVES if (svg := plots.few_shot(board, figures, name))],
        separation=plots.separation(whole),
        permutation=plots.permutation(whole),
        map=plots.taste_map(board, whole),
        people=[] if pictures is None else picture_rows(board, pictured, pictures),
    )
    write_text(path, html)


def table_rows(board: Board, figures: dict[str, Figure], names: list[str], controls: bool) -> list[dict[str, Any]]:
    """Rows of predictors from whole histories, with or without their controls; the best of each column is marked."""
    shown = [o for o in board.outcomes if o.length is None and (controls or o.control is None)]
    top = {name: best(board, figures, name) for name in names}
    rows = []
    for outcome in shown:
        cells: list[Cell | None] = []
        for name in names:
            figure = board.figure(figures, outcome, name)
            if figure is None:
                cells.append(None)
                continue
            interval = "" if figure.low != figure.low else f"{written(figure.low)} to {written(figure.high)}"
            marked = outcome.control is None and figure.value == top[name]
            cells.append(Cell(written(figure.value, name), interval, marked))
        rows.append({"name": outcome.row, "control": outcome.control is not None, "cells": cells})
    return rows


def paired(board: Board) -> dict[str, Figure]:
    """The first predictor less each other one, person by person: from whole histories, and of decoded pictures."""
    drawn_RB = weights(len(board.people), board.seed)
    found = {}
    for predictor in board.predictors[1:]:
        for length in dict.fromkeys((None, board.decoded_length)):
            first, other = board.find(board.predictors[0], length), board.find(predictor, length)
            if first is None or other is None:
                continue
            for name in first.by_person.keys() & other.by_person.keys():
                if length is not None and not name.endswith(DECODED):
                    continue
                figure = difference(first.by_person[name], other.by_person[name], drawn_RB)
                if figure is not None:
                    found[f"{board.data}/{board.part}/{_pair(board, predictor)}/{name}@{first.shots}"] = figure
    return found


def _pair(board: Board, other: str) -> str:
    return f"{board.predictors[0]}-{other}"


def differences(board: Board, names: list[str]) -> list[dict[str, Any]]:
    """Paired differences as a table shows them; sure ones are marked."""
    found, rows = paired(board), []
    for predictor in board.predictors[1:]:
        cells: list[Cell | None] = []
        for name in names:
            shots = "all" if not name.endswith(DECODED) or board.decoded_length is None else board.decoded_length
            figure = found.get(f"{board.data}/{board.part}/{_pair(board, predictor)}/{name}@{shots}")
            if figure is None:
                cells.append(None)
                continue
            sure = figure.low > 0 or figure.high < 0
            cells.append(Cell(f"{figure.value:+.3f}", f"{figure.low:+.3f} to {figure.high:+.3f}", sure))
        rows.append({"name": f"less {predictor}", "control": False, "cells": cells})
    return rows


def picture_rows(board: Board, outcome: Outcome, pictures: Pictures) -> list[dict[str, Any]]:
    """For a few people: what they liked so far, the pictures nearest to their samples, and those made of them."""
    if outcome.samples_BnD is None:
        return []
    place, catalogue = {user: b for b, user in enumerate(board.people.users)}, board.people.catalogue
    people = board.people.take(torch.tensor([place[user] for user in outcome.users]))
    cosine, rows = CosineRanker(), []
    made = [] if outcome.decoded is None else outcome.decoded.pictures
    last = len(made or people) - 1
    for b in np.unique(np.linspace(0, last, PEOPLE_SHOWN).astype(int)):
        person = people.take(torch.tensor([b]))
        history = person.history(outcome.length)
        liked = history.items_BK[0][history.liked_BK[0]][:PICTURES_SHOWN]
        scores_nN = cosine(unit(catalogue.space, outcome.samples_BnD[b]), catalogue)
        seen = person.seen_item_BS[0]
        scores_nN[:, seen[seen >= 0]] = -torch.inf
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
