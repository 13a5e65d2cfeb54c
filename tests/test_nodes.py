"""Values of a configuration are held against the constructors that take them, before anything is built."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from prefprior.models.diffusion.schedules import Schedule
from prefprior.models.diffusion.solvers import Solver
from prefprior.nodes import fits, problems

EULER = {"_target_": "prefprior.models.diffusion.solvers.Euler"}


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (3, float),
        (17, str),
        (None, int | None),
        ([1, None], Sequence[int | None]),
        ([0.9, 0.95], tuple[float, float]),
        ([1, 2, 3], tuple[int, ...]),
        ({"a": 1}, dict[str, int]),
        ({"a": 1}, Mapping[str, Any]),
        ("euler", Literal["euler", "heun"]),
        ("folder", str | Path),
        (EULER, Solver),
        (EULER, Solver | None),
        ("anything", Callable[[int], int]),
        ([1], Any),
    ],
)
def test_values_that_fit_an_annotation(value: Any, hint: Any) -> None:
    assert fits(value, hint)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("3", int),
        (3.5, int),
        (True, int),
        (1, bool),
        (None, int),
        (5, Sequence[int]),
        (["x"], Sequence[int]),
        ("ab", Sequence[str]),
        ([1, 2, 3], tuple[float, float]),
        ([1], dict[str, int]),
        ("dpm", Literal["euler", "heun"]),
        (5, Solver),
        ([EULER], Solver),
        (EULER, Schedule),
        ({"eta": 3}, Solver),  # no class is chosen
    ],
)
def test_values_that_do_not_fit_an_annotation(value: Any, hint: Any) -> None:
    assert not fits(value, hint)


@dataclass
class Takes:
    words: Sequence[int] = ()
    solver: Solver | None = None
    text: str = ""
    name: str = "x"
    width: int = None  # type: ignore[assignment]
    scale: float = 1.0


def found(**values: Any) -> list[str]:
    return problems({"_target_": f"{__name__}.Takes", **values}, "part")


def test_the_message_shows_value_and_annotation() -> None:
    assert found(words=5) == [f"part.words is 5; {__name__}.Takes wants Sequence[int]"]
    assert found(solver=3) == [f"part.solver is 3; {__name__}.Takes wants Solver | None"]


def test_a_long_value_is_shortened_in_the_message() -> None:
    (line,) = found(words="9" * 5000)
    assert len(line) < 200


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite_are_refused_at_any_depth(value: float) -> None:
    assert "it must be a finite number" in found(scale=value)[0]
    assert problems(value, "diversity") == [f"diversity is {value}; it must be a finite number"]
    assert problems({"betas": [0.9, value]}, "x") == [f"x.betas[1] is {value}; it must be a finite number"]


def test_an_empty_value_is_refused_unless_it_is_the_default() -> None:
    assert found(name="") == ["part.name is empty: give a value, or part.name=null for none"]
    assert problems("", "run_dir") == ["run_dir is empty: give a value, or run_dir=null for none"]
    assert found(text="") == []


def test_null_fits_an_argument_with_default_null() -> None:
    assert found(width=None) == []
