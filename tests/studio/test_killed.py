"""A server that is killed at any moment keeps every answer that it has acknowledged, once; so does one whose database
goes away."""

import random
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx2
import pytest
from sqlalchemy import select

from prefprior.studio.store.database import Database
from prefprior.studio.store.impressions import Impression, Impressions
from prefprior.studio.store.people import People, Person
from prefprior.studio.store.tables import QuestionRow
from prefprior.studio.store.tokens import Tokens
from tests.studio.conftest import DATABASES
from tests.studio.postgres import Server, create
from tests.studio.serving import Serving
from tests.studio.visiting import FIELD, SHOWN

PLATFORM, PAGES = "shop", ("nine", "pair", "rate")
APPS, BROWSERS = 3, 2  # clients at once
LIFE = 12  # answers of a person: the small catalogue has few pictures


class Client(threading.Thread, ABC):
    """Answers until told to stop, as one person after the other, and sends again what was not acknowledged."""

    def __init__(self, serving: Serving, seed: int) -> None:
        super().__init__(daemon=True)
        self.seed, self.draws, self.over = seed, random.Random(seed), threading.Event()
        self.http = httpx2.Client(base_url=serving.address, timeout=30)
        self.kept: dict[str, dict[int, str]] = {}  # what was acknowledged, by person and question
        self.failed: BaseException | None = None

    def run(self) -> None:
        """Asks and answers."""
        try:
            while not self.over.is_set():
                name, given = self.arrive(), dict[int, str]()
                self.kept[name] = given
                for _ in range(LIFE):
                    if not self.over.is_set():
                        self.step(name, given, self.draws.choice(PAGES))
        except BaseException as error:
            self.failed = error

    @property
    def answers(self) -> int:
        """That were acknowledged."""
        return sum(map(len, list(self.kept.values())))

    @abstractmethod
    def arrive(self) -> str:
        """What the next person is called."""

    @abstractmethod
    def step(self, name: str, given: dict[int, str], page: str) -> None:
        """A question and its answer."""

    @abstractmethod
    def person(self, people: People, name: str) -> Person | None:
        """Who it is in the database."""

    def sent(self, method: str, path: str, **more: Any) -> httpx2.Response:
        """A response; a request that gets none is sent again, as it was."""
        while True:
            try:
                response = self.http.request(method, path, **more)
            except httpx2.TransportError:
                time.sleep(0.02)
                continue
            if response.status_code != 503:
                return response
            assert int(response.headers["retry-after"]) > 0
            time.sleep(0.05)


class App(Client):
    """A platform's client."""

    def __init__(self, serving: Serving, seed: int, token: str) -> None:
        super().__init__(serving, seed)
        self.http.headers["Authorization"] = f"Bearer {token}"

    def arrive(self) -> str:
        """Made with their first question."""
        return f"app-{self.seed}-{len(self.kept)}"

    def person(self, people: People, name: str) -> Person | None:
        """By the platform's name."""
        return people.of_platform(PLATFORM, name, make=False)

    def step(self, name: str, given: dict[int, str], page: str) -> None:
        """Sometimes takes the answer back."""
        where = f"/v1/people/{name}"
        asked = self.sent("POST", f"{where}/questions", json={"kind": page})
        assert asked.status_code == 201, asked.text
        question, item = asked.json()["question"], self.draws.choice(asked.json()["items"])
        body = {"question": question} | ({"rating": 5} if page == "rate" else {"picked": [item]})
        answered = self.sent("POST", f"{where}/answers", json=body)
        assert answered.status_code == 200, answered.text
        given[question] = item
        if self.draws.random() < 0.1:
            undone = self.sent("DELETE", f"{where}/answers/{question}")
            assert undone.status_code in (204, 404), "404: sent again, and taken back the first time"
            del given[question]


class Browser(Client):
    """A visitor's browser."""

    def arrive(self) -> str:
        """Where the cookie gets lost, the next one is somebody else's."""
        self.http.cookies.clear()
        assert self.sent("POST", "/start", data={"start": "yes"}).status_code == 303
        return self.http.cookies["studio"]

    def person(self, people: People, name: str) -> Person | None:
        """By the cookie."""
        return people.of_cookie(name)

    def step(self, name: str, given: dict[int, str], page: str) -> None:
        """Sends the page's form; sometimes has pictures made."""
        text = self.sent("GET", f"/ask/{page}").text
        fields = {name: unescape(value) for name, value in FIELD.findall(text)}
        answered = self.sent("POST", f"/ask/{page}", data=fields | {"answer": "1"})
        assert answered.status_code == 303, answered.text
        given[int(fields["question"])] = unquote(SHOWN.findall(text)[0])
        if self.draws.random() < 0.2:
            self.sent("POST", "/strip", data={"csrf": fields["csrf"]}, headers={"X-Fragment": "1"})


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'studio.sqlite'}"
    return create(request.getfixturevalue("postgres").url, f"killed_{tmp_path.name.lower()}")


def require_kept(url: str, client: Client) -> None:
    """The database has the acknowledged answers and no others, and of each page one question waits at most."""
    database = Database.open(url)
    impressions, people = Impressions(database), People(database)
    for name, given in client.kept.items():
        person = client.person(people, name)
        if person is None:
            assert given == {}
            continue
        answers = impressions.answered(person.profiles[0])
        assert {told.id: _item(told) for told in answers} == given
        assert len(answers) == len(given)
        with database.reading() as session:
            waiting = session.scalars(
                select(QuestionRow.page).where(
                    QuestionRow.profile_id == person.profiles[0].id, ~QuestionRow.answer.has(), ~QuestionRow.withdrawn
                )
            ).all()
        assert len(waiting) == len(set(waiting))
    database.close()


def _item(told: Impression) -> str:
    assert told.given is not None
    return told.items[0] if told.given.rating is not None else told.items[told.given.picked[0]]


def under_load(url: str, disturbed: Callable[[Serving], None]) -> None:
    """Clients answer while something happens, and for a moment after it."""
    database = Database.open(url)
    token = Tokens(database).issue(PLATFORM, ["ask"], 1)
    database.close()
    serving = Serving(url)
    apps = [App(serving, seed, token) for seed in range(APPS)]
    clients = [*apps, *(Browser(serving, APPS + seed) for seed in range(BROWSERS))]
    serving.start()
    for client in clients:
        client.start()
    disturbed(serving)
    for client in clients:
        before = client.answers
        while client.is_alive() and client.answers == before:
            time.sleep(0.02)
        client.over.set()
    for client in clients:
        client.join(60)
        assert not client.is_alive(), "it gets no answer"
        if client.failed is not None:
            raise client.failed
    serving.stop()
    for client in clients:
        client.http.close()
        require_kept(url, client)


@pytest.mark.parametrize("times", [3, pytest.param(20, marks=pytest.mark.crash)])
def test_a_server_that_is_killed(url: str, times: int) -> None:
    draws = random.Random(times)

    def disturbed(serving: Serving) -> None:
        for _ in range(times):
            time.sleep(draws.uniform(0.05, 0.8))
            serving.kill()
            serving.start()

    under_load(url, disturbed)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_a_database_that_goes_away_and_comes_back(postgres: Server, how: signal.Signals) -> None:
    def disturbed(serving: Serving) -> None:
        time.sleep(0.3)
        postgres.stop(how)
        time.sleep(0.5)
        postgres.start()

    under_load(create(postgres.url, f"away_{how.name.lower()}"), disturbed)
