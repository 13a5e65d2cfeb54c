"""What users answered, by ids: kept as JSON with their sessions, and written as rows that sources of ratings read.

A row is an item that was shown, with the columns that `source=table` and `source.sessions` of a world read: user, item,
rating or question and picked, time. A column `way` says how it was asked; readers leave it alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from prefprior.elicitation.questions import Answer
from prefprior.files import written_whole

SECONDS = 60  # from one answer to the next
SCHEMA = pa.schema(
    {
        "user": pa.string(), "item": pa.string(), "rating": pa.float64(), "question": pa.string(), "picked": pa.int8(),
        "time": pa.int64(), "way": pa.string(),
    }
)  # fmt: skip


@dataclass(frozen=True)
class Told:
    """One answer: a rating of one item, or which of several were picked."""

    items: tuple[str, ...]
    picked: tuple[int, ...] = ()  # places among the items
    rating: float | None = None

    def __post_init__(self) -> None:
        if (self.rating is None) == (len(self.items) == 1) or any(
            not 0 <= place < len(self.items) for place in self.picked
        ):
            raise ValueError(f"neither a rating of one item nor a choice among several: {self}")

    @classmethod
    def of(cls, answer: Answer, ids: Sequence[str], levels: Sequence[float]) -> "Told":
        """`ids` are those of the candidates, `levels` the ratings that can be given."""
        rating = None if answer.level is None else float(levels[answer.level])
        return cls(tuple(ids[item] for item in answer.question.items), answer.picked, rating)

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> "Told":
        """As `plain` gave it."""
        rating = value["rating"]
        return cls(
            tuple(map(str, value["items"])), tuple(map(int, value["picked"])), None if rating is None else float(rating)
        )

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def write_answers(path: Path, by_way: Mapping[str, Mapping[str, Sequence[Told]]], *, begin: float, most: int) -> bool:
    """Writes what the users of each way told, in the order in which it was asked; False where nothing was.

    A user's answers lie `SECONDS` apart from the second `begin` on, one way after another: no way has more than `most`.
    """
    rows = [
        row for place, way in enumerate(by_way) for row in _rows(way, by_way[way], int(begin) + SECONDS * place * most)
    ]
    if rows:
        with written_whole(path, pa.ArrowException) as part:
            pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), part)
    return bool(rows)


def _rows(way: str, told: Mapping[str, Sequence[Told]], begin: int) -> Iterator[dict[str, Any]]:
    for user, answers in told.items():
        for number, answer in enumerate(answers, 1):
            choice = answer.rating is None
            for place, item in enumerate(answer.items):
                yield {
                    "user": user,
                    "item": item,
                    "rating": answer.rating,
                    "question": f"{way}/{number}" if choice else None,
                    "picked": int(place in answer.picked) if choice else None,
                    "time": begin + SECONDS * number,
                    "way": way,
                }
