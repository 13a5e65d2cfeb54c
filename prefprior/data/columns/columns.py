"""Columns of text with the places of their rows, so that every bad value can be named by file and line."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prefprior.errors import nearest, sentence


@dataclass(frozen=True, eq=False)
class Columns:
    """Columns of text (pyarrow string arrays, null where absent), and where their rows stand."""

    path: Path
    values: dict[str, pa.Array]
    first_row: int  # what the first row is called: its line in a text file, 0 in Parquet
    line_N: np.ndarray | None = None  # the line of each row, where a row may have several
    place_N: Sequence[str] | None = None  # the place of each row, where rows are not lines of a file
    parts: tuple[tuple[int, "Columns"], ...] = ()  # for several files: from which row on they are which
    origin: tuple["Columns", np.ndarray] | None = None  # for rows that were made from others: from which

    @classmethod
    def join(cls, several: "list[Columns]", path: Path) -> "Columns":
        """The rows of several files, which must have the same columns."""
        for other in several[1:]:
            if differing := sorted(set(other.values) ^ set(several[0].values)):
                has, lacks = (other, several[0]) if differing[0] in other.values else (several[0], other)
                raise ValueError(
                    f"{has.path} has the column {differing[0]}, but {lacks.path} does not. All files of a data "
                    "set need the same columns: add it or remove it."
                )
        starts = np.cumsum([0, *(len(c) for c in several[:-1])])
        values = {name: pa.concat_arrays([c.values[name] for c in several]) for name in several[0].values}
        parts = tuple((int(start), c) for start, c in zip(starts, several, strict=True))
        return cls(path, values, several[0].first_row, parts=parts)

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    def made(self, values: dict[str, pa.Array], row_N: np.ndarray) -> "Columns":
        """Other rows, made from these: each from the one that `row_N` names."""
        return Columns(self.path, values, self.first_row, origin=(self, row_N))

    def stripped(self, *names: str) -> tuple["Columns", int]:
        """Without the spaces around the values of some columns, and how many values had any."""
        values, count = dict(self.values), 0
        for name in names:
            values[name] = pc.utf8_trim_whitespace(self.values[name])
            count += pc.sum(pc.not_equal(values[name], self.values[name])).as_py() or 0
        return replace(self, values=values), count

    def text(self, name: str, row: int) -> str:
        """One value as it is shown in a message: quoted, and cut where it is long."""
        value = self.values[name][row].as_py()
        return repr(value) if value is None or len(value) <= 60 else f"{value[:60]!r}..."

    def where(self, row: int) -> str:
        """`file:line`."""
        if self.place_N is not None:
            return self.place_N[row]
        if self.origin is not None:
            before, row_N = self.origin
            return before.where(int(row_N[row]))
        if self.parts:
            start, part = max(((start, part) for start, part in self.parts if start <= row), key=lambda found: found[0])
            return part.where(row - start)
        return f"{self.path}:{self.first_row + row if self.line_N is None else self.line_N[row]}"

    def some(self, rows: np.ndarray) -> str:
        """The first few places of many."""
        shown = ", ".join(self.where(int(r)) for r in rows[:3])
        return shown if len(rows) <= 3 else f"{shown} and {len(rows) - 3} more"


@dataclass(frozen=True)
class Wanted:
    """Which columns a reader takes, by our names and the file's."""

    names: dict[str, str]
    optional: tuple[str, ...] = ()
    remedy: str = "Map the file's own names with source.columns.<name>=... or rename the columns."

    def choose(self, where: str, present: list[str]) -> dict[str, str]:
        """Our name -> the column as it is spelled in the file; spaces around the file's names do not matter."""
        stripped: dict[str, list[str]] = {}
        for column in present:
            stripped.setdefault(column.strip(), []).append(column)
        missing = [c for ours, c in self.names.items() if c.strip() not in stripped and ours not in self.optional]
        if missing:
            told = "; ".join(f"{column!r}{nearest(column, stripped)}" for column in missing)
            marks = [mark for mark in ";\t|," if len(present) == 1 and mark in present[0]]
            split = f" Is the file separated by {marks[0]!r}? Use commas (.csv) or tabs (.tsv)." if marks else ""
            there = ", ".join(map(_shown, stripped))
            raise ValueError(f"{where}: the columns are {there}; missing: {sentence(told)} {self.remedy}{split}")
        chosen = {ours: stripped[c.strip()] for ours, c in self.names.items() if c.strip() in stripped}
        for spellings in chosen.values():
            if len(spellings) > 1:
                raise ValueError(
                    f"{where}: there are {len(spellings)} columns named {spellings[0].strip()!r}. Keep one: "
                    "remove or rename the others."
                )
        return {ours: spellings[0] for ours, spellings in chosen.items()}


def absent(texts: pa.Array) -> np.ndarray:
    """Which values are not there."""
    return pc.is_null(texts).to_numpy(zero_copy_only=False)


def _shown(name: str) -> str:
    return repr(name) if len(name) <= 60 else f"{name[:60]!r}..."
