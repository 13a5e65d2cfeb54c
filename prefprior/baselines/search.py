"""What a baseline may be tuned over: arguments of its constructor, and what their values are drawn from."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch


class Values(Protocol):
    """Something that values of one argument are drawn from."""

    def draw(self, generator: torch.Generator) -> Any:
        """One value, as plain data."""


@dataclass(frozen=True)
class LogUniform:
    """A number whose logarithm is uniform: for weights, of which the order of magnitude is unknown."""

    low: float
    high: float

    def draw(self, generator: torch.Generator) -> float:
        """To three digits, so that what is printed is what was used."""
        place = float(torch.rand((), generator=generator, dtype=torch.float64))
        value = math.exp(math.log(self.low) + place * (math.log(self.high) - math.log(self.low)))
        return float(f"{value:.3g}")


@dataclass(frozen=True)
class OneOf:
    """One of a few values, all as likely."""

    values: tuple[Any, ...]

    def draw(self, generator: torch.Generator) -> Any:
        """One of them."""
        return self.values[int(torch.randint(len(self.values), (), generator=generator))]


Search = Mapping[str, Values]


def settings(search: Search, budget: int, generator: torch.Generator) -> Iterator[dict[str, Any]]:
    """At most `budget` different settings: first none, which leaves all defaults, then draws."""
    seen: list[dict[str, Any]] = [{}]
    yield {}
    # Where there are few different values, draws repeat: give up long after all have probably been seen.
    for _ in range(50 * budget):
        if len(seen) >= budget:
            return
        drawn = {name: values.draw(generator) for name, values in search.items()}
        if drawn not in seen:
            seen.append(drawn)
            yield drawn
