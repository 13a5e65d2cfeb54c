"""prefprior/evaluation/protocol/shown.py: the scoreboard's histories of pictures shown at random."""

import io
from pathlib import Path

import pytest
import torch
from rich.console import Console

from prefprior.baselines.mean import MeanOfLikes
from prefprior.data.datamodule import PreferenceDataModule
from prefprior.data.held_out import HeldOutUsers
from prefprior.evaluation.protocol.results import Condition, Results
from prefprior.evaluation.protocol.scoreboard import Scoreboard
from prefprior.evaluation.protocol.shown import shown_at_random
from prefprior.evaluation.report.html import write_report
from prefprior.evaluation.report.table import terminal_tables
from prefprior.predictor import TrainingPart
from prefprior.world.source import WorldSource


@pytest.fixture(scope="module")
def people(world: WorldSource) -> HeldOutUsers:
    data = PreferenceDataModule(source=world)
    return HeldOutUsers.halves(data.ratings, data.catalogue, data.scale)


@pytest.fixture(scope="module")
def results(world: WorldSource, people: HeldOutUsers) -> Results:
    predictor = MeanOfLikes()
    predictor.fit(TrainingPart(world.ratings(), people.catalogue), None, torch.Generator().manual_seed(0))
    scoreboard = Scoreboard(lengths=(4,), shown=(5, 20), samples=2, ks=(5,), controls=("permuted",))
    return Results("world", "unseen", people, scoreboard.run(predictor, people, world))


def test_everybody_has_a_history_of_that_length_without_held_out_pictures(
    world: WorldSource, people: HeldOutUsers
) -> None:
    shown = shown_at_random(people, world, 20)
    assert shown.users == people.users
    assert shown.valid_BK.sum(1).tolist() == [20] * len(people)
    for item_K, held_T in zip(shown.item_BK, shown.held_item_BT, strict=True):
        assert not torch.isin(item_K, held_T).any()
    assert torch.equal(shown.held_item_BT, people.held_item_BT)


def test_random_pictures_are_liked_less_than_what_was_sought(world: WorldSource, people: HeldOutUsers) -> None:
    shown = shown_at_random(people, world, 20)
    assert shown.raw_BK.mean() + 0.5 < people.raw_BK[people.valid_BK].mean()


def test_shown_histories_stand_beside_users_own(results: Results) -> None:
    own, shown = (results.figures[f"world/unseen/mean{row}/utility@{n}"] for row, n in (("", 4), ("+shown", 20)))
    assert shown.people == len(results.people)
    assert own.value > shown.value  # what was looked for says more
    assert results.find("mean", Condition(20, shown=True)) is not None


def test_tables_and_report_show_them(results: Results, tmp_path: Path) -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    for table in terminal_tables(results, 200):
        console.print(table)
    assert "shown @20" in console.export_text()
    write_report(tmp_path / "report.html", results, {}, None)
    assert "pictures shown at random and rated" in (tmp_path / "report.html").read_text()


def test_sources_that_cannot_show_pictures_go_without() -> None:
    assert not any(condition.shown for condition in Scoreboard().conditions())
    assert [condition.length for condition in Scoreboard().conditions(shows=True) if condition.shown] == [5, 10, 20, 40]


def test_lengths_below_1_are_refused() -> None:
    with pytest.raises(ValueError, match="shown must be numbers of at least 1"):
        Scoreboard(shown=(0,))
