"""Figures of sessions: means over users with intervals, and what more answers changed.

Shapes: B users, S seeds, R resamples.
"""

from collections.abc import Mapping

import numpy as np

from prefprior.elicitation.session import Sessions
from prefprior.evaluation.protocol.bootstrap import Figure, difference, interval, weights

GAIN = "_gain"  # ends the names of paired differences between q answers and half as many


def figures_of(
    found: Mapping[str, list[Sessions]], users: int, seed: int
) -> tuple[dict[str, Figure], dict[str, Figure]]:
    """Figures and gains of each way to ask, asked with one or several seeds: keys are `<way>/<metric>@<answers>`."""
    drawn_RB = weights(users, seed)
    figures, gains = dict[str, Figure](), dict[str, Figure]()
    for way, seeds in found.items():
        values = _means(seeds, users)
        for (metric, after), value_B in values.items():
            if (figure := interval(value_B, drawn_RB)) is None:
                continue
            figures[f"{way}/{metric}@{after}"] = figure
            if after and after % 2 == 0 and (metric, after // 2) in values:
                gain = difference(value_B, values[metric, after // 2], drawn_RB)
                if gain is not None:
                    gains[f"{way}/{metric}{GAIN}@{after}"] = gain
    return figures, gains


def lines_of(figures: Mapping[str, Figure], metric: str) -> dict[str, dict[int, Figure]]:
    """One metric by way to ask and number of answers."""
    lines: dict[str, dict[int, Figure]] = {}
    for key, figure in figures.items():
        way, name = key.split("/")
        if name.rpartition("@")[0] == metric:
            lines.setdefault(way, {})[int(name.rpartition("@")[2])] = figure
    return lines


def _means(seeds: list[Sessions], users: int) -> dict[tuple[str, int], np.ndarray]:
    """(B,) the mean over seeds for each user, by metric and number of answers."""
    found: dict[tuple[str, int], np.ndarray] = {}
    for after, first in seeds[0].figures.items():
        for metric in dict.fromkeys(name for each in first for name in each):
            value_SB = np.full((len(seeds), users), np.nan)
            for s, sessions in enumerate(seeds):
                for b, each in enumerate(sessions.figures[after]):
                    value_SB[s, b] = each.get(metric, np.nan)
            defined = ~np.isnan(value_SB)
            count = defined.sum(0)
            total = np.where(defined, value_SB, 0).sum(0)
            found[metric, after] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return found
