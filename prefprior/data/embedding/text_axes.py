"""Axes that words name: from one prompt to another, such as from "a bright picture" to "a dark picture".

An axis is the difference of two prompts' embeddings by the text tower of the space's CLIP. Each embedding is a unit
vector, the mean over the templates that the encoder knows (Radford et al. 2021, arXiv:2103.00020, section 3.1.4, use
such means for classes). The difference is a way of reading pictures: how much more each looks like the second prompt
than like the first. How pictures are moved along it is `prefprior.inference.steering`.

Shapes: K axes, D dimension of the space, T templates.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn.functional import normalize

from prefprior.errors import nearest, require_between, sentence

BETWEEN = "|"  # the two prompts of an axis of one's own: "a smooth surface|a rough surface"
FURTHEST = 3.0  # standard deviations: beyond them a catalogue has hardly any pictures
SAME = 1e-3  # the least length of a difference of two unit vectors that is not rounding

# Names of axes: each end with the word that describes it.
ENDS = (
    (("lighter", "bright"), ("darker", "dark")),
    (("calmer", "calm"), ("wilder", "wild")),
    (("paler", "muted"), ("richer", "vivid")),
    (("fainter", "faint"), ("bolder", "bold")),
    (("crisper", "crisp"), ("softer", "blurred")),
    (("smaller", "small"), ("larger", "large")),
    (("colder", "cold"), ("warmer", "warm")),
    (("simpler", "simple"), ("busier", "cluttered")),
    (("older", "old"), ("newer", "modern")),
    (("sadder", "sad"), ("happier", "happy")),
    (("plainer", "realistic"), ("dreamier", "dreamlike")),
)
NAMED: dict[str, tuple[str, str]] = {}
for (one, word), (other, other_word) in ENDS:
    NAMED |= {other: (word, other_word), one: (other_word, word)}


@runtime_checkable
class TextEncoder(Protocol):
    """Whatever puts texts into a space of pictures."""

    space_name: str

    @property
    def templates(self) -> tuple[str, ...]:
        """Texts around a single word, with {} in its place."""

    def encode_texts(self, texts: list[str]) -> Tensor:
        """(N, D) raw projections in float32."""


class TextAxes(NamedTuple):
    """Directions of a space, with their names."""

    names: tuple[str, ...]
    direction_KD: Tensor  # unit vectors


def read_strengths(axes: Any) -> dict[str, float]:
    """The names of axes and how far to go along each, from a configuration."""
    if not isinstance(axes, Mapping) or not axes:
        raise ValueError(f"axes={axes!r} is not a mapping of axes to strengths, such as 'axes={{darker: 0.5}}'")
    for name, strength in axes.items():
        require_axis(str(name))
        number = isinstance(strength, int | float) and not isinstance(strength, bool) and math.isfinite(strength)
        if not number:
            raise ValueError(
                f"the strength of the axis {name!r} is {strength!r}; it must be a number of standard deviations, "
                "such as 0.5"
            )
        require_between(f"the strength of the axis {name!r}", strength, -FURTHEST, FURTHEST)
    return {str(name): float(strength) for name, strength in axes.items()}


def require_axis(name: str) -> str:
    """Refuses what names no axis."""
    _prompts(name, ("{}",))
    return name


def text_axes(names: list[str], encoder: TextEncoder) -> TextAxes:
    """Axes by their names, or by two prompts: "from this|to that"."""
    return TextAxes(tuple(names), torch.stack([_direction(name, encoder) for name in names]))


def _direction(name: str, encoder: TextEncoder) -> Tensor:
    low, high = _prompts(name, encoder.templates)
    try:
        unit_TD = normalize(encoder.encode_texts([*low, *high]), dim=1)
    except ValueError as error:
        raise ValueError(f"the axis {name!r} cannot be embedded: {error}") from None
    difference_D = unit_TD[len(low) :].mean(0) - unit_TD[: len(low)].mean(0)
    if difference_D.norm() < SAME:
        raise ValueError(
            f"the two ends of the axis {name!r} are the same text to {encoder.space_name}: give two prompts that differ"
        )
    return normalize(difference_D, dim=0)


def _prompts(name: str, templates: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """The texts of both ends: of a named axis in all templates, of two prompts as they are."""
    if name in NAMED:
        low, high = NAMED[name]
        return [template.format(low) for template in templates], [template.format(high) for template in templates]
    ends = [end.strip() for end in name.split(BETWEEN)]
    if len(ends) != 2 or not all(ends):
        unknown = sentence(f"there is no axis {name!r}{nearest(name, NAMED)}")
        raise ValueError(
            f"{unknown} Give one of {', '.join(NAMED)}, or two prompts, such as "
            "'axes={a smooth surface|a rough surface: 0.5}'"
        )
    return [ends[0]], [ends[1]]
