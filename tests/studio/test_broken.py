"""Requests that are wrong, hostile or forged: each is refused with 4xx, none with 5xx, and nothing is kept."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionError
from sqlalchemy.orm.exc import StaleDataError

from prefprior.studio.service import Studio
from tests.studio.postgres import Server
from tests.studio.visiting import Person

Visit = Callable[[], TestClient]
LARGE = 2**63
INJECTIONS = (
    "' OR 1=1 --", "1; DROP TABLE people", "<script>alert(1)</script>", "../../etc/passwd", "..%2f..%2fetc%2fpasswd",
    "%00", "a\r\nSet-Cookie: x=1", "{{ 7 * 7 }}", "ａ", "-1", "1e3", "0x1", " 1", "9" * 40, "",
)  # fmt: skip


@pytest.fixture
def person(visit: Visit) -> Person:
    return Person(visit())


@pytest.fixture
def shop(visit: Visit, studio: Studio) -> TestClient:
    client = visit()
    client.headers["Authorization"] = f"Bearer {studio.tokens.issue('shop', ['ask', 'read', 'export'], 1)}"
    return client


def require_refused(status: int) -> None:
    assert 400 <= status < 500


@pytest.mark.parametrize("answer", [*INJECTIONS, "10", "0", "NONE"])
def test_answers_that_are_none(person: Person, answer: str) -> None:
    require_refused(person.answer(answer).status_code)
    assert person.answers() == 0


@pytest.mark.parametrize("question", [*INJECTIONS, "999999"])
def test_questions_that_were_not_asked(person: Person, question: str) -> None:
    require_refused(person.answer("1", question=question).status_code)
    assert person.answers() == 0


@pytest.mark.parametrize(("mode", "answer"), [("pair", "none"), ("rate", "none"), ("rate", "6"), ("pair", "3")])
def test_answers_that_do_not_fit_their_question(person: Person, mode: str, answer: str) -> None:
    require_refused(person.answer(answer, mode).status_code)


@pytest.mark.parametrize("path", ["/ask/nine", "/undo", "/strip", "/profiles/add", "/profiles/delete", "/delete"])
def test_forms_without_our_token_are_refused(person: Person, path: str) -> None:
    fields = person.fields() | {"answer": "1", "sure": "yes", "name": "x"}
    for csrf in ("", "x" * 64, "é"):
        assert person.client.post(path, data=fields | {"csrf": csrf}).status_code == 403
    assert person.answers() == 0


def test_another_visitors_token_does_not_fit(person: Person, visit: Visit) -> None:
    assert person.answer("1", csrf=Person(visit()).fields()["csrf"]).status_code == 403


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"},
                {"Origin": "null"}, {"Origin": "http://["}, {"Origin": "http://[::1"}],
)  # fmt: skip
def test_forms_from_other_sites_are_refused(person: Person, visit: Visit, headers: dict[str, str]) -> None:
    data = person.fields() | {"answer": "1"}
    assert person.client.post("/ask/nine", data=data, headers=headers).status_code == 403
    assert visit().post("/start", data={"start": "yes"}, headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"\xff\xfe=1", "application/x-www-form-urlencoded"),
        (b"csrf=%ff", "application/x-www-form-urlencoded"),
        (b"a=1&a=2", "application/x-www-form-urlencoded"),
        (b"&".join(b"f%d=1" % i for i in range(50)), "application/x-www-form-urlencoded"),
        (b"{}", "application/json"),
        (b"--x\r\n", "multipart/form-data; boundary=x"),
        (b"", "application/x-www-form-urlencoded"),
        (b"", ""),
    ],
)
def test_bodies_that_are_no_forms_of_ours(person: Person, body: bytes, kind: str) -> None:
    response = person.client.post("/ask/nine", content=body, headers={"Content-Type": kind})
    require_refused(response.status_code)


@pytest.mark.parametrize("cookie", ["x", "", "a" * 5000, "%00", "'; DROP TABLE people; --"])
def test_cookies_of_nobody(visit: Visit, cookie: str) -> None:
    response = visit().get("/ask/nine", headers={"Cookie": f"studio={cookie}"})
    assert response.headers["location"] == "/"


@pytest.mark.parametrize("cookie", ["x", "-1", "9" * 30, "999"])
def test_a_wrong_profile_cookie_changes_nothing(person: Person, cookie: str) -> None:
    person.client.cookies.set("studio_profile", cookie)
    assert person.answers() == 0


@pytest.mark.parametrize("name", ["", " ", "x" * 41, "a\x00b", "a\x1b[31m"])
def test_profile_names_that_cannot_be(person: Person, name: str) -> None:
    require_refused(person.post("/profiles/add", name=name).status_code)


def test_a_profile_name_is_text_and_no_markup(person: Person) -> None:
    person.post("/profiles/add", name='"><script>alert(1)</script>')
    page = person.client.get("/you").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


@pytest.mark.parametrize("where", ["items", "made", "ask", "static", "profiles"])
@pytest.mark.parametrize("name", ["..%2f..%2fetc%2fpasswd", "%00", "nowhere", "a%0d%0ab", "%ff"])
def test_paths_that_are_not_there(person: Person, where: str, name: str) -> None:
    require_refused(person.client.get(f"/{where}/{name}").status_code)


def test_too_large_a_body_is_not_read(person: Person, shop: TestClient) -> None:
    assert person.client.post("/ask/nine", content=b"x" * 70_000).status_code == 413
    assert shop.post("/v1/people/ann/questions", content=(b"x" * 1000 for _ in range(70))).status_code == 413


@pytest.mark.parametrize("length", ["x", "-1", "1e9", "9" * 30])
def test_a_length_that_is_no_number(shop: TestClient, length: str) -> None:
    request = shop.build_request("POST", "/v1/people/ann/questions", content=b"{}")
    request.headers["Content-Length"] = length
    require_refused(shop.send(request).status_code)


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic eDp5", "Bearer x", "Bearer ' OR 1=1", "bearer pp_" + "a" * 3000]
)
def test_tokens_that_open_nothing(visit: Visit, header: str) -> None:
    response = visit().get("/v1/export", headers={"Authorization": header})
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["content-type"] == "application/problem+json"


def test_an_expired_token_opens_nothing(shop: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prefprior.studio.store.tokens.time.time", lambda: 1e11)
    assert shop.get("/v1/export").status_code == 401


def test_a_cookie_opens_no_api(person: Person) -> None:
    assert person.client.get("/v1/export").status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b'"x"', b"\xff", b'{"kind": "ten"}', b'{"kind": 9}', b'{"kind": null}',
        b'{"kind": "nine", "more": 1}', b'{"kind": "\\ud800"}', b"[" * 5000,
    ],
)  # fmt: skip
def test_bodies_that_ask_for_nothing(shop: TestClient, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    require_refused(shop.post("/v1/people/ann/questions", content=body, headers=headers).status_code)


@pytest.mark.parametrize(
    "given",
    [
        {}, {"picked": []}, {"rating": 3}, {"rating": 6.0}, {"rating": "4"}, {"rating": True}, {"rating": None},
        {"rating": 4, "picked": []}, {"question": LARGE, "rating": 4}, {"question": -1, "rating": 4},
        {"question": "1", "rating": 4}, {"question": 1.5, "rating": 4}, {"question": None, "rating": 4},
        {"picked": "x"}, {"picked": [1]}, {"picked": ["nowhere"]}, {"picked": ["x" * 600]}, {"picked": ["a"] * 200},
        {"rating": 1e400}, {"rating": 4, "latency": -1}, {"rating": 4, "latency": 1e9}, {"rating": 4, "user": "bob"},
    ],
    ids=str,
)  # fmt: skip
def test_answers_to_a_pair_that_are_none(shop: TestClient, given: dict[str, Any]) -> None:
    question = shop.post("/v1/people/ann/questions", json={"kind": "pair"}).json()["question"]
    body = json.dumps({"question": question} | given)
    headers = {"Content-Type": "application/json"}
    response = shop.post("/v1/people/ann/answers", content=body, headers=headers)
    require_refused(response.status_code)
    assert response.headers["content-type"] == "application/problem+json"


def test_an_item_picked_twice(shop: TestClient) -> None:
    question = shop.post("/v1/people/ann/questions", json={"kind": "pair"}).json()
    body = {"question": question["question"], "picked": question["items"][:1] * 2}
    require_refused(shop.post("/v1/people/ann/answers", json=body).status_code)


@pytest.mark.parametrize("key", ["", "a b", "é".encode("latin-1"), "x" * 200, "a\tb"])
def test_keys_that_cannot_be(shop: TestClient, key: str | bytes) -> None:
    headers = {"Idempotency-Key": key}
    require_refused(shop.post("/v1/people/ann/questions", json={}, headers=headers).status_code)


@pytest.mark.parametrize("name", ["%20", "a%2fb", "a%00", "%ff", "x" * 129, "a'b", "%3Cscript%3E", "日本"])
def test_people_with_impossible_names(shop: TestClient, name: str) -> None:
    require_refused(shop.post(f"/v1/people/{name}/questions", json={}).status_code)


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "offset=-1", f"offset={LARGE}", "limit=1e2"])
def test_parts_of_a_ranking_that_cannot_be(shop: TestClient, query: str) -> None:
    shop.post("/v1/people/ann/questions", json={})
    require_refused(shop.get(f"/v1/people/ann/ranking?{query}").status_code)


@pytest.mark.parametrize("number", ["0", "-1", "x", str(LARGE), "1.5"])
def test_answers_that_cannot_be_taken_back(shop: TestClient, number: str) -> None:
    shop.post("/v1/people/ann/questions", json={})
    require_refused(shop.delete(f"/v1/people/ann/answers/{number}").status_code)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "TRACE", "NONSENSE"])
def test_methods_that_are_none(shop: TestClient, method: str) -> None:
    require_refused(shop.request(method, "/v1/people/ann/questions").status_code)


def test_a_mistake_of_ours_is_told_as_a_problem_and_strictly(
    visit: Visit, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a detail that nobody outside should see")

    monkeypatch.setattr(studio.people, "of_cookie", broken)
    response = visit().get("/ask/nine", headers={"Cookie": "studio=x"})
    assert response.status_code == 500
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    assert "nobody outside" not in response.text
    api = visit().get("/v1/export", headers={"Authorization": "Bearer x"})
    assert (api.status_code, api.json()["type"]) == (401, "about:blank")
    monkeypatch.setattr(studio.tokens, "find", broken)
    api = visit().get("/v1/export", headers={"Authorization": "Bearer x"})
    assert (api.status_code, api.headers["content-type"]) == (500, "application/problem+json")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OperationalError("SELECT", {}, Exception("gone")), 503),
        (InterfaceError("SELECT", {}, Exception("gone")), 503),
        (NoConnectionError("none"), 503), (StaleDataError("gone"), 409),
    ],
)  # fmt: skip
def test_a_database_that_is_away_is_told(
    visit: Visit, studio: Studio, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    def away(*_: object) -> None:
        raise error

    monkeypatch.setattr(studio.people, "of_cookie", away)
    response = visit().get("/ask/nine", headers={"Cookie": "studio=x"})
    assert response.status_code == status
    assert ("retry-after" in response.headers) == (status == 503)
    assert "SELECT" not in response.text


@pytest.mark.parametrize("served", ["postgresql"], indirect=True)
def test_a_server_without_its_database_says_so_and_goes_on_when_it_is_back(
    visit: Visit, studio: Studio, shop: TestClient, postgres: Server
) -> None:
    person = Person(visit())
    fields = person.fields()
    asked = shop.post("/v1/people/ann/questions", json={"kind": "rate"}).json()
    answered = {"question": asked["question"], "rating": 5}
    postgres.stop()
    for response in (
        person.client.get("/ask/nine"), person.client.post("/ask/nine", data=fields | {"answer": "1"}),
        person.client.post("/strip", data=fields), visit().post("/start", data={"start": "yes"}),
        shop.post("/v1/people/ann/questions", json={}), shop.post("/v1/people/ann/answers", json=answered),
        shop.get("/v1/export"), shop.get("/readyz"),
    ):  # fmt: skip
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) > 0
    assert shop.get("/healthz").status_code == 200
    postgres.start()
    assert person.client.post("/ask/nine", data=fields | {"answer": "1"}).status_code == 303
    assert person.answers() == 1
    assert shop.post("/v1/people/ann/answers", json=answered).json()["new"]
    assert shop.get("/readyz").status_code == 200
