"""Figures of sessions: means over users with intervals, and what more answers changed.

Shapes: B users, S seeds, R resamples.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from prefprior.elicitation.session import Sessions
from prefprior.evaluation.protocol.bootstrap import LEVEL, Figure, difference, interval, weights
from prefprior.evaluation.protocol.holm import holm, paired_p

GAIN = "_gain"  # ends the names of paired differences between q answers and half as many


@dataclass(frozen=True)
class Gain(Figure):
    """A paired difference, and how sure it is that it is one."""

    p_holm: float  # of a mean of 0, corrected for all ways to ask and numbers of answers of the same metric


def figures_of(found: Mapping[str, list[Sessions]], users: int, seed: int) -> tuple[dict[str, Figure], dict[str, Gain]]:
    """Figures and gains of each way to ask, asked with one or several seeds: keys are `<way>/<metric>@<answers>`."""
    drawn_RB = weights(users, seed)
    figures = dict[str, Figure]()
    compared = dict[str, dict[str, tuple[Figure, float]]]()  # by metric: gains with their own p values
    for way, seeds in found.items():
        values = _means(seeds, users)
        for (metric, after), value_B in values.items():
            if (figure := interval(value_B, drawn_RB)) is None:
                continue
            figures[f"{way}/{metric}@{after}"] = figure
            if after and after % 2 == 0 and (metric, after // 2) in values:
                before_B = values[metric, after // 2]
                if (gain := difference(value_B, before_B, drawn_RB)) is not None:
                    key = f"{way}/{metric}{GAIN}@{after}"
                    compared.setdefault(metric, {})[key] = gain, paired_p(value_B - before_B)
    gains = dict[str, Gain]()
    for some in compared.values():
        adjusted = holm([p for _, p in some.values()])
        gains |= {
            key: Gain(**asdict(gain), p_holm=p) for (key, (gain, _)), p in zip(some.items(), adjusted, strict=True)
        }
    return figures, gains


def harm(gains: Mapping[str, Gain], metric: str) -> list[str]:
    """Where answers made a metric worse, in words; that they did so nowhere; nothing where nothing was compared."""
    compared = {key: gain for key, gain in gains.items() if key.split("/")[1].startswith(f"{metric}{GAIN}@")}
    worse = {key: gain for key, gain in compared.items() if gain.value < 0 and gain.p_holm < 1 - LEVEL}
    if compared and not worse:
        return [f"no gain of {metric} is below 0 (Holm, {len(compared)} comparisons)"]
    return [
        f"answers hurt: {key} {gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}], p = {gain.p_holm:.2g} "
        f"(Holm, {len(compared)} comparisons)"
        for key, gain in worse.items()
    ]


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
