"""Visitors whose requests mix in any order are kept apart: what each sees follows from their own requests alone."""

import asyncio
import json
import random
from collections.abc import Callable
from html import unescape
from io import BytesIO
from zipfile import ZipFile

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import ASGITransport, AsyncClient
from sqlalchemy import func, select

from prefprior.studio.service import Studio
from prefprior.studio.store.impressions import ConflictError
from prefprior.studio.store.tables import AnswerRow, MadeRow, PersonRow, ProfileRow, QuestionRow
from prefprior.studio.web.app import create_app
from tests.studio.conftest import ON_BOTH
from tests.studio.small import MANY
from tests.studio.visiting import FIELD, Person

VISITORS, STEPS = 3, 24


def act(person: Person, draws: random.Random, answers: int) -> int:
    """One request; returns how many answers there should be after it."""
    kind = draws.choice(["answer", "answer", "answer", "undo", "strip"])
    if kind == "answer":
        assert person.answer("1", draws.choice(["nine", "pair", "rate"])).status_code == 303
        return answers + 1
    if kind == "undo":
        assert person.undo().status_code == 303
        return max(answers - 1, 0)
    person.strip()
    return answers


@pytest.mark.parametrize(
    ("served", "seed"), [("sqlite", 0), ("sqlite", 1), ("postgresql", 2), ("postgresql", 3)], indirect=["served"]
)
def test_counts_questions_and_pictures_are_each_ones_own(visit: Callable[[], TestClient], seed: int) -> None:
    draws = random.Random(seed)
    people = [Person(visit()) for _ in range(VISITORS)]
    counted = [0] * VISITORS
    for _ in range(STEPS):
        number = draws.randrange(VISITORS)
        counted[number] = act(people[number], draws, counted[number])
        assert [person.answers() for person in people] == counted
    questions = [person.fields()["question"] for person in people]
    assert len(set(questions)) == VISITORS
    for one, question in zip(people, questions, strict=True):
        for other in people:
            if other is not one:
                assert other.answer("1", question=question).status_code == 404
    assert [person.answers() for person in people] == counted


@ON_BOTH
def test_requests_at_the_same_moment(studio: Studio) -> None:
    """Each visitor has several tabs, all of which ask, answer and look at once."""

    async def tab(client: AsyncClient, number: int) -> None:
        for step in range(6):
            page = await client.get("/ask/nine")
            assert page.status_code == 200
            fields = {name: unescape(value) for name, value in FIELD.findall(page.text)}
            done = await client.post("/ask/nine", data=fields | {"answer": str(1 + (number + step) % 9)})
            assert done.status_code in (303, 409), "409: another tab has answered this one"
            made = await client.post("/strip", data={"csrf": fields["csrf"]}, headers={"X-Fragment": "1"})
            assert made.status_code in (200, 503)

    async def visitor(app: FastAPI) -> tuple[set[str], int]:
        async with AsyncClient(transport=ASGITransport(app), base_url="http://studio") as client:
            await client.post("/start", data={"start": "yes"})
            await asyncio.gather(*(tab(client, number) for number in range(3)))
            kept = json.loads(ZipFile(BytesIO((await client.get("/export")).content)).read("data.json"))
            questions = kept["profiles"][0]["questions"]
            return {each["question"] for each in questions}, sum(each["answer"] is not None for each in questions)

    async def all_at_once() -> list[tuple[set[str], int]]:
        app = create_app(studio, rates=MANY)
        return await asyncio.gather(*(visitor(app) for _ in range(VISITORS)))

    found = asyncio.run(all_at_once())
    numbers = [number for questions, _ in found for number in questions]
    assert len(numbers) == len(set(numbers))
    for questions, answered in found:
        assert 6 <= answered <= 18
        assert len(questions) - answered <= 1, "no two tabs are given different questions"


@ON_BOTH
def test_what_is_deleted_meanwhile_is_not_kept(studio: Studio) -> None:
    """Tabs go on while the person is deleted: no row and no belief is left, and none of them sees an error of ours."""

    async def tab(client: AsyncClient) -> None:
        for _ in range(8):
            page = await client.get("/ask/nine")
            assert page.status_code in (200, 303, 409), page.text
            fields = {name: unescape(value) for name, value in FIELD.findall(page.text)}
            done = await client.post("/ask/nine", data=fields | {"answer": "1"})
            assert done.status_code < 500
            made = await client.post("/strip", data={"csrf": fields.get("csrf", "")}, headers={"X-Fragment": "1"})
            assert made.status_code < 500 or made.status_code == 503

    async def visited() -> None:
        app = create_app(studio, rates=MANY)
        async with AsyncClient(transport=ASGITransport(app), base_url="http://studio") as client:
            await client.post("/start", data={"start": "yes"})
            csrf = dict(FIELD.findall((await client.get("/ask/nine")).text))["csrf"]

            async def deletion() -> None:
                await asyncio.sleep(0.3)
                gone = await client.post("/delete", data={"csrf": csrf, "sure": "yes"})
                assert gone.status_code == 303

            await asyncio.gather(tab(client), tab(client), deletion())
            while len(studio.tasks):
                await asyncio.sleep(0.05)

    asyncio.run(visited())
    with studio.database.reading() as session:
        for row in (PersonRow, ProfileRow, QuestionRow, AnswerRow, MadeRow):
            assert session.scalar(select(func.count()).select_from(row)) == 0
    assert studio.served.inference.submit(lambda inference: len(inference.beliefs)).result() == 0


def test_a_request_that_comes_after_a_deletion_leaves_no_belief(studio: Studio) -> None:
    """It has read who asks before, and has waited for its turn."""

    async def asked() -> None:
        person, _ = studio.people.arrive()
        await studio.delete(person)
        while len(studio.tasks):
            await asyncio.sleep(0.01)
        for late in (studio.question(person.profiles[0], "nine"), studio.strip(person.profiles[0])):
            with pytest.raises(ConflictError, match="was deleted"):
                await late

    asyncio.run(asked())
    assert studio.served.inference.submit(lambda inference: len(inference.beliefs)).result() == 0
