"""Search spaces of baselines: constructor arguments and the distributions of their values."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch


class Values(Protocol):
    """The distribution of one argument's values."""

    def draw(self, generator: torch.Generator) -> Any:
        """One value, as plain data."""


@dataclass(frozen=True)
class LogUniform:
    """A log-uniform number, for weights of unknown order of magnitude."""

    low: float
    high: float

    def draw(self, generator: torch.Generator) -> float:
        """Rounded to three digits, so that the printed value is the one used."""
        place = float(torch.rand((), generator=generator, dtype=torch.float64))
        value = math.exp(math.log(self.low) + place * (math.log(self.high) - math.log(self.low)))
        return float(f"{value:.3g}")


@dataclass(frozen=True)
class OneOf:
    """A uniform choice among a few values."""

    values: tuple[Any, ...]

    def draw(self, generator: torch.Generator) -> Any:
        """One of them."""
        return self.values[int(torch.randint(len(self.values), (), generator=generator))]


Search = Mapping[str, Values]


def settings(search: Search, budget: int, generator: torch.Generator) -> Iterator[dict[str, Any]]:
    """At most `budget` distinct settings: first the defaults (an empty dict), then draws."""
    seen: list[dict[str, Any]] = [{}]
    yield {}
    # In a small search space draws repeat: stop long after all settings have probably been seen.
    for _ in range(50 * budget):
        if len(seen) >= budget:
            return
        drawn = {name: values.draw(generator) for name, values in search.items()}
        if drawn not in seen:
            seen.append(drawn)
            yield drawn
