"""scripts/loop.py and its modules: people who answer over HTTP, and what the report says of them."""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from rich.console import Console
from sqlalchemy import select

from prefprior.predictor import Catalogue
from prefprior.studio.service import Studio
from prefprior.studio.store.database import Database
from prefprior.studio.store.impressions import Draw, Given, Impressions
from prefprior.studio.store.people import People
from prefprior.studio.store.tables import AnswerRow
from prefprior.studio.store.tokens import Tokens
from scripts import judging, loop, visitors

Visit = Callable[[], TestClient]


class Sure:
    """A world whose people like even numbers, and those best that are high."""

    def __init__(self, ids: Sequence[str]) -> None:
        self.ids = list(ids)

    def says(self, user: str, items: Sequence[str], seed: int) -> tuple[np.ndarray, np.ndarray]:
        number_M = np.array([int(item.split()[-1]) for item in items])
        felt_M = np.where(number_M % 2 == 0, number_M, -1.0)
        return felt_M, np.where(number_M % 2 == 0, 5, 1)


class Shop:
    """`visitors.Client` on a studio in this process."""

    def __init__(self, studio: Studio, browser: TestClient) -> None:
        token = Tokens(studio.database).issue(visitors.PLATFORM, ["ask", "read"], days=1)
        self.browser, self.headers = browser, {"Authorization": f"Bearer {token}"}
        self.sent: list[tuple[str, Any]] = []

    def send(self, method: str, path: str, body: Any = None, key: str | None = None) -> Any:
        headers = self.headers | ({} if key is None else {"Idempotency-Key": key})
        reply = self.browser.request(method, path, json=body, headers=headers)
        assert reply.status_code in (200, 201), reply.text
        self.sent.append((path, body))
        return reply.json()


@pytest.fixture
def shop(studio: Studio, visit: Visit) -> Shop:
    return Shop(studio, visit())


def answers(studio: Studio) -> list[Any]:
    with studio.database.reading() as session:
        return list(session.scalars(select(AnswerRow).order_by(AnswerRow.question_id)))


def test_visitors_pick_what_they_like_best_and_rate_every_fourth_time(
    studio: Studio, shop: Shop, catalogue: Catalogue
) -> None:
    world = cast(visitors.World, Sure(catalogue.ids))
    visitors.play(world, cast(visitors.Client, shop), "person-0001", 8, 0, rates=True)
    person = studio.people.of_platform(visitors.PLATFORM, "person-0001", make=False)
    assert person is not None
    told = studio.impressions.answered(person.profiles[0])
    assert [each.is_rating for each in told] == [False, False, False, True] * 2
    for each in told:
        assert each.given is not None
        numbers = [int(item.split()[-1]) for item in each.items]
        even = [number for number in numbers if number % 2 == 0]
        if each.is_rating:
            assert each.given.rating == (5.0 if even else 1.0)
        else:
            assert [numbers[place] for place in each.given.picked] == ([max(even)] if even else [])


def test_a_visit_that_is_played_again_counts_once(studio: Studio, shop: Shop, catalogue: Catalogue) -> None:
    world = cast(visitors.World, Sure(catalogue.ids))
    for _ in range(2):
        visitors.play(world, cast(visitors.Client, shop), "person-0001", 5, 0, rates=True)
    assert len(answers(studio)) == 5


def test_pictures_alike_are_not_diverse() -> None:
    class Flat:
        source = argparse.Namespace(scaled_utility=lambda _, raw_nD: raw_nD.numpy()[:, 0])

    class Plain:
        @staticmethod
        def directions(raw_nD: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.normalize(raw_nD, dim=-1)

    x, y = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    made = {"a": torch.stack([x, x]), "b": torch.stack([y, y])}
    judged = judging.Judged.of(cast(visitors.World, Flat), made, cast(Any, Plain))
    assert judged.utility_B.tolist() == [1.0, 0.0]
    assert judged.within_B == pytest.approx([0, 0])
    assert judged.between == pytest.approx(1)
    mixed = {"a": torch.stack([x, y]), "b": torch.stack([x, y])}
    judged = judging.Judged.of(cast(visitors.World, Flat), mixed, cast(Any, Plain))
    assert judged.within_B == pytest.approx([1, 1])
    assert judged.between == pytest.approx(0.5)


def test_ratings_are_corrected_for_what_a_policy_chose(sqlite: Database) -> None:
    """The policy always shows the one of two pictures that is liked; a tenth is drawn from both."""
    world, draws = Sure(["picture 0", "picture 7"]), np.random.default_rng(0)
    for user in range(150):
        person = People(sqlite).of_platform(visitors.PLATFORM, f"person-{user:04d}", make=True)
        assert person is not None
        for number in range(8):
            item, propensity = ("picture 7", 0.05) if draws.random() < 0.05 else ("picture 0", 0.95)
            impressions = Impressions(sqlite)
            draw = Draw("rate", "1", (item,), (propensity,), "roam", "m" * 64, number)
            question = impressions.record(person.profiles[0], draw)
            rating = float(world.says("", [item], 0)[1][0])
            assert impressions.answer(person.profiles[0], question.id, Given(rating=rating), None)
    found = judging.off_policy(sqlite, cast(visitors.World, world), [["person-0000"]])
    assert found.naive.low > 4
    assert found.truth == 3
    assert found.corrected.low < 3 < found.corrected.high
    assert found.naive.low > found.corrected.high


def test_the_report_names_gains_and_how_far_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    base_B = np.linspace(0.2, 0.6, 40)
    found = {
        name: judging.Judged(base_B + gain, np.full(40, 0.5), 0.7)
        for name, gain in (("start", 0), ("old data alone 1", 0.01), ("round 1", 0.06), ("all people", 0.1))
    }
    judging.report(found, 10_000, Console(width=200))
    said = capsys.readouterr().out
    assert "+0.060 [+0.060, +0.060]" in said
    assert "+0.050 [+0.050, +0.050]" in said
    assert "after round 1: +0.060 from 10,000 answers, +0.0060 per 1,000; 60% of the way to all people" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rounds", "0"], "--rounds must be at least 1, got 0"),
        (["--answers", "3"], "--answers must be at least 4, got 3: every fourth one is a rating"),
        (["--visitors", "100"], "was begun with another --visitors: choose another --folder"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = {
        "people": 4000, "known": 400, "visitors": 500, "answers": 20, "new": 200, "after": 10, "epochs": 5, "lr": 1e-3
    }  # fmt: skip
    (tmp_path / "loop.json").write_text(json.dumps(begun))
    with pytest.raises(SystemExit) as ended:
        loop.main(["--folder", str(tmp_path), *words])
    assert message in f"{ended.value} {capsys.readouterr().err}"
