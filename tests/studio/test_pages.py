"""The pages, over HTTP: what a visitor can do, and that it is theirs alone."""

import json
import time
from collections.abc import Callable
from io import BytesIO
from zipfile import ZipFile

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from prefprior.studio.service import Studio
from prefprior.studio.store.tables import AnswerRow
from prefprior.studio.web.app import Rates, create_app
from tests.studio.conftest import ON_BOTH
from tests.studio.visiting import LAST, Person

Visit = Callable[[], TestClient]


@pytest.fixture
def person(visit: Visit) -> Person:
    return Person(visit())


def test_looking_keeps_nobody(visit: Visit, studio: Studio) -> None:
    client = visit()
    assert client.get("/").status_code == 200
    assert client.get("/ask/nine").headers["location"] == "/"
    assert client.cookies == {}


def test_the_cookie_is_for_us_alone(visit: Visit) -> None:
    told = visit().post("/start", data={"start": "yes"}).headers["set-cookie"]
    assert "HttpOnly" in told
    assert "SameSite=lax" in told


def test_behind_https_it_is_sent_over_https_only(studio: Studio) -> None:
    client = TestClient(create_app(studio, secure_cookies=True), follow_redirects=False)
    cookie = client.post("/start", data={"start": "yes"}).headers["set-cookie"]
    assert cookie.startswith("__Host-studio=")
    assert "Secure" in cookie
    assert "Path=/;" in cookie
    assert "Domain" not in cookie
    name, _, value = cookie.partition(";")[0].partition("=")
    assert client.get("/ask/nine", headers={"Cookie": f"{name}={value}"}).status_code == 200
    assert client.get("/ask/nine", headers={"Cookie": f"studio={value}"}).headers["location"] == "/"


@ON_BOTH
@pytest.mark.parametrize(("mode", "count"), [("nine", 9), ("pair", 2), ("rate", 1)])
def test_each_page_shows_its_question_until_it_is_answered(person: Person, mode: str, count: int) -> None:
    shown = person.shown(mode)
    assert len(shown) == count
    assert person.shown(mode) == shown, "after loading it again"
    assert person.answer("1", mode).headers["location"] == f"/ask/{mode}"
    assert not set(person.shown(mode)) & set(shown)
    assert person.answers() == 1


def test_pictures_of_a_question_can_be_seen(person: Person) -> None:
    response = person.client.get(f"/items/{person.shown()[0]}")
    assert (response.status_code, response.headers["content-type"]) == (200, "image/png")


def test_none_of_these_is_an_answer_of_nine(person: Person) -> None:
    assert "None of these" in person.page()
    assert "None of these" not in person.page("pair")
    assert person.answer("none").status_code == 303
    assert person.answers() == 1


@ON_BOTH
def test_an_answer_sent_twice_counts_once(person: Person) -> None:
    fields = person.fields()
    for _ in range(2):
        assert person.client.post("/ask/nine", data=fields | {"answer": "3"}).status_code == 303
    assert person.answers() == 1
    assert person.client.post("/ask/nine", data=fields | {"answer": "4"}).status_code == 409


@ON_BOTH
def test_undo_brings_the_question_back(person: Person) -> None:
    shown = person.shown()
    person.answer("5")
    assert person.undo().headers["location"] == "/ask/nine"
    assert person.shown() == shown
    assert person.answers() == 0


@ON_BOTH
def test_the_same_undo_twice_takes_one_answer_back(person: Person) -> None:
    person.answer("1")
    first = LAST.findall(person.page())
    person.answer("2")
    last = LAST.findall(person.page())
    assert first != last
    for _ in range(2):
        assert person.post("/undo", answered=last[0]).status_code == 303
    assert person.answers() == 1
    assert person.post("/undo").status_code == 422, "it says which"


def test_latency_is_from_when_the_page_was_sent(person: Person, studio: Studio) -> None:
    fields = person.fields()
    seen_at = float(fields["seen_at"])
    time.sleep(0.05)
    person.answer("1")
    person.answer("1", seen_at=str(seen_at - 1000)), "before the question was asked: not believed"
    person.answer("1", seen_at="nan")
    with studio.database.reading() as session:
        found = list(session.scalars(select(AnswerRow.latency).order_by(AnswerRow.answered_at)))
    assert all(0 <= each < 60 for each in found)  # type: ignore[operator]


def test_undo_goes_to_the_page_of_the_last_answer(person: Person) -> None:
    person.answer("2", "pair")
    assert person.undo().headers["location"] == "/ask/pair"


def test_a_part_is_sent_to_our_script(person: Person) -> None:
    data = person.fields() | {"answer": "1"}
    text = person.client.post("/ask/nine", data=data, headers={"X-Fragment": "1"}).text
    assert "<html" not in text
    assert 'name="question"' in text


@ON_BOTH
def test_the_strip_follows_the_answers(person: Person) -> None:
    before = person.strip()
    assert person.strip() == before, "nothing was answered since"
    assert len(before) == 4
    for _ in range(3):
        person.answer("1")
    assert person.strip() != before
    assert person.client.get(f"/made/{person.strip()[0]}").headers["content-type"] == "image/png"


def test_pictures_that_a_page_still_shows_are_found_until_they_are_deleted(person: Person) -> None:
    before = person.strip()
    person.answer("1")
    gone = set(before) - set(person.strip())
    assert gone
    assert all(person.client.get(f"/made/{name}").status_code == 200 for name in gone)
    person.post("/profiles/start-over", profile=_profiles(person.client.get("/you").text)[0])
    assert all(person.client.get(f"/made/{name}").status_code == 404 for name in before)


def test_after_an_undo_the_strip_is_as_it_was(person: Person) -> None:
    before = person.strip()
    person.answer("1")
    person.strip()
    person.undo()
    assert person.strip() == before


@ON_BOTH
def test_profiles_have_their_own_answers(person: Person) -> None:
    person.answer("1")
    assert person.post("/profiles/add", name="Work").status_code == 303
    assert person.answers() == 0
    person.answer("2")
    person.answer("2")
    page = person.client.get("/you").text
    assert "Work" in page
    first = min(int(number) for number in _profiles(page))
    person.post("/profiles/choose", profile=str(first))
    assert person.answers() == 1


@ON_BOTH
def test_starting_over_deletes_the_answers(person: Person) -> None:
    person.answer("1")
    number = _profiles(person.client.get("/you").text)[0]
    person.post("/profiles/start-over", profile=number)
    assert person.answers() == 0


@ON_BOTH
def test_the_export_has_all_that_is_kept(person: Person) -> None:
    person.answer("1")
    strip = person.strip()
    archive = ZipFile(BytesIO(person.client.get("/export").content))
    told = json.loads(archive.read("data.json"))
    assert sum(each["answer"] is not None for each in told["profiles"][0]["questions"]) == 1
    assert sum(name.endswith(".png") for name in archive.namelist()) == len(strip)


@ON_BOTH
def test_deletion_deletes(person: Person, studio: Studio) -> None:
    person.answer("1")
    cookie = person.client.cookies["studio"]
    assert person.post("/delete").status_code == 400, "without the box"
    assert person.post("/delete", sure="yes").headers["location"] == "/"
    assert studio.people.of_cookie(cookie) is None
    assert person.client.get("/ask/nine").headers["location"] == "/"


@ON_BOTH
def test_two_visitors_see_only_their_own(visit: Visit) -> None:
    one, other = Person(visit()), Person(visit())
    question = one.fields()["question"]
    strip = one.strip()
    one.answer("1")
    for answer in ("1", "none"):
        assert other.answer(answer, question=question).status_code == 404
    assert other.client.get(f"/made/{strip[0]}").status_code == 404
    assert other.answers() == 0
    assert other.post("/profiles/choose", profile=_profiles(one.client.get("/you").text)[0]).status_code == 404
    other.client.cookies.set("studio_profile", _profiles(one.client.get("/you").text)[0])
    assert other.answers() == 0, "a number in a cookie opens nothing"
    assert one.answers() == 1


def test_too_many_visitors_from_one_address_are_refused(studio: Studio) -> None:
    client = TestClient(create_app(studio, rates=Rates(arrivals=3)), follow_redirects=False)
    assert client.post("/start", data={"start": "yes"}).status_code == 303
    refused = client.post("/start", data={"start": "yes"})
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0


def test_every_response_is_strict(person: Person) -> None:
    for path in ("/", "/ask/nine", "/nowhere", "/static/studio.js", "/healthz", "/v1/export"):
        headers = person.client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["x-content-type-options"] == "nosniff"


def test_pages_name_no_other_host(person: Person) -> None:
    for path in ("/", "/ask/nine", "/ask/pair", "/ask/rate", "/you", "/static/studio.js", "/static/studio.css"):
        text = person.client.get(path).text.replace("http://www.w3.org/2000/svg", "")
        assert "//" not in text.replace("// ", "")
        assert "<script>" not in text


def _profiles(page: str) -> list[str]:
    return [part.split('"')[0] for part in page.split('name="profile" value="')[1:]]
