"""Answers by ids: as JSON and as rows."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from prefprior.elicitation.questions import Kind, Question
from prefprior.elicitation.told import Told, write_answers

IDS, LEVELS = ["a", "b", "c", "d"], [1.0, 2.0, 3.0]
rated = Told.of(Question(Kind(1), (3,)).rated(1), IDS, LEVELS)
chosen = Told.of(Question(Kind(3), (2, 0, 1)).chosen([0]), IDS, LEVELS)
none = Told.of(Question(Kind(2, none=True), (0, 1)).chosen([]), IDS, LEVELS)


def test_items_and_ratings_are_those_of_the_source() -> None:
    assert rated == Told(("d",), rating=2.0)
    assert chosen == Told(("c", "a", "b"), picked=(1,))
    assert none == Told(("a", "b"))


@pytest.mark.parametrize("told", [rated, chosen, none])
def test_json_holds_all(told: Told) -> None:
    assert Told.read(told.plain()) == told


def test_what_is_no_answer_is_refused() -> None:
    for wrong in ({"items": ("a",)}, {"items": ("a", "b"), "rating": 1.0}, {"items": ("a", "b"), "picked": (2,)}):
        with pytest.raises(ValueError, match="neither a rating of one item nor a choice among several"):
            Told(**wrong)


def test_a_row_is_an_item_that_was_shown(tmp_path: Path) -> None:
    path = tmp_path / "answers.parquet"
    assert write_answers(path, {"x_9": {"ann": [chosen, rated]}, "y_9": {"ann": [none]}}, begin=1000, most=5)
    rows = [tuple(row.values()) for row in pq.read_table(path).to_pylist()]
    assert rows == [
        ("ann", "c", None, "x_9/1", 0, 1060, "x_9"),
        ("ann", "a", None, "x_9/1", 1, 1060, "x_9"),
        ("ann", "b", None, "x_9/1", 0, 1060, "x_9"),
        ("ann", "d", 2.0, None, None, 1120, "x_9"),
        ("ann", "a", None, "y_9/1", 0, 1360, "y_9"),
        ("ann", "b", None, "y_9/1", 0, 1360, "y_9"),
    ]


def test_no_file_is_written_for_no_answers(tmp_path: Path) -> None:
    assert not write_answers(tmp_path / "answers.parquet", {"x_9": {"ann": []}}, begin=0, most=5)
    assert not list(tmp_path.iterdir())
