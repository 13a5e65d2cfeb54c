"""Reports, hidden pictures, invitations, and the page of whoever runs the studio."""

import hashlib
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from io import BytesIO
from threading import Barrier
from urllib.parse import unquote
from zipfile import ZipFile

import pytest
from fastapi.testclient import TestClient

from prefprior.data.pictures import ArrayPictures
from prefprior.decoders.retrieval import Retrieval
from prefprior.predictor import Catalogue
from prefprior.studio.service import Studio
from prefprior.studio.store.database import Database
from prefprior.studio.store.invitations import Invitations
from prefprior.studio.store.moderation import Moderation, Reported
from prefprior.studio.store.people import People, RefusedError, UninvitedError
from prefprior.studio.store.tables import ITEM, MADE
from prefprior.studio.web.app import Rates, create_app
from tests.studio.conftest import ON_BOTH
from tests.studio.small import MANY, small_files
from tests.studio.visiting import Person

Visit = Callable[[], TestClient]
CSRF = re.compile(r'name="csrf" value="([^"]*)"')
CODE = re.compile(r'<code class="code">([^<]+)</code>')


@pytest.fixture
def person(visit: Visit) -> Person:
    return Person(visit())


class Admin:
    """Somebody with the token."""

    def __init__(self, client: TestClient, studio: Studio) -> None:
        self.client = client
        token = studio.tokens.issue("us", ["admin"], 1)
        assert client.post("/admin/enter", data={"token": token}).headers["location"] == "/admin"

    def page(self) -> str:
        response = self.client.get("/admin")
        assert response.status_code == 200, response.text
        return response.text

    def post(self, path: str, **fields: str) -> str:
        found = CSRF.search(self.page())
        assert found is not None
        response = self.client.post(f"/admin{path}", data={"csrf": unescape(found[1])} | fields)
        assert response.status_code in (200, 303), response.text
        return response.text


@pytest.fixture
def admin(visit: Visit, studio: Studio) -> Admin:
    return Admin(visit(), studio)


def test_reports_count_once_each_and_end_with_their_profile(database: Database) -> None:
    moderation, people = Moderation(database, small_files(database)), People(database)
    one, other = people.arrive()[0], people.arrive()[0]
    for _ in range(2):
        moderation.report(one.profiles[0], ITEM, "a")
    moderation.report(other.profiles[0], ITEM, "a")
    moderation.report(other.profiles[0], MADE, "f" * 64)
    assert moderation.reported() == [Reported(ITEM, "a", 2), Reported(MADE, "f" * 64, 1)]
    people.delete(other)
    assert moderation.reported() == [Reported(ITEM, "a", 1)]
    moderation.hide(ITEM, "a")
    assert moderation.reported() == []
    assert moderation.hidden(ITEM) == {"a"}
    moderation.keep(ITEM, "a")
    assert moderation.hidden(ITEM) == frozenset()


def lets_in(database: Database, code: str) -> bool:
    try:
        People(database).arrive(code)
    except UninvitedError:
        return False
    return True


def test_an_invitation_is_not_used_up_by_an_arrival_that_fails(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = Invitations(database).issue("", 1, 1)

    def broken(**_: object) -> None:
        raise RuntimeError("after the code was taken")

    with monkeypatch.context() as broke:
        broke.setattr("prefprior.studio.store.people._new", broken)
        with pytest.raises(RuntimeError, match="after the code"):
            People(database).arrive(code)
    assert lets_in(database, code)


def test_the_same_report_and_decision_at_the_same_moment(database: Database) -> None:
    moderation = Moderation(database, small_files(database))
    profile = People(database).arrive()[0].profiles[0]
    for work in (lambda: moderation.report(profile, ITEM, "a"), lambda: moderation.hide(ITEM, "a")):
        all_at_once = Barrier(6)

        def run(work: Callable[[], None] = work, all_at_once: Barrier = all_at_once) -> None:
            all_at_once.wait()
            work()

        with ThreadPoolExecutor(6) as threads:
            for each in [threads.submit(run) for _ in range(6)]:
                each.result()
    assert moderation.hidden(ITEM) == {"a"}
    assert moderation.reported() == []


def test_a_profile_has_so_many_open_reports(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prefprior.studio.store.moderation.MOST_REPORTS", 2)
    moderation, profile = Moderation(database, small_files(database)), People(database).arrive()[0].profiles[0]
    for name in ("a", "b"):
        moderation.report(profile, ITEM, name)
    with pytest.raises(RefusedError, match="2 pictures"):
        moderation.report(profile, ITEM, "c")
    People(database).start_over(profile)
    assert moderation.reported() == []


def test_an_invitation_lets_so_many_in(database: Database) -> None:
    invitations = Invitations(database)
    code = invitations.issue("friends", 2, 1)
    assert [lets_in(database, code) for _ in range(3)] == [True, True, False]
    assert not lets_in(database, "wrong")
    expired = invitations.issue("", 5, 0.001)
    assert lets_in(database, expired)
    invitations.revoke(invitations.all()[0].id)
    assert not lets_in(database, expired)
    assert [each.note for each in invitations.all()] == ["friends"]
    for uses, days in ((0, 1), (1, 0)):
        with pytest.raises(RefusedError, match="must be at least"):
            invitations.issue("", uses, days)


@ON_BOTH
def test_a_reported_picture_is_replaced_by_another_question(person: Person, studio: Studio) -> None:
    fields = person.fields()
    shown = person.shown()
    assert person.post("/report", mode="nine", question=fields["question"], place="4").status_code == 303
    assert person.fields()["question"] != fields["question"]
    assert studio.moderation.reported() == [Reported(ITEM, unquote(shown[3]), 1)]
    assert person.answers() == 0


@pytest.mark.parametrize("place", ["0", "10", "x", ""])
def test_reports_of_nothing_are_refused(person: Person, place: str) -> None:
    assert person.post("/report", mode="nine", question=person.fields()["question"], place=place).status_code == 422
    assert person.post("/report", picture="f" * 64).status_code == 404


def test_another_visitors_question_cannot_be_reported(person: Person, visit: Visit) -> None:
    question = Person(visit()).fields()["question"]
    assert person.post("/report", mode="nine", question=question, place="1").status_code == 404


@ON_BOTH
def test_a_hidden_picture_is_shown_to_nobody(person: Person, admin: Admin, studio: Studio, visit: Visit) -> None:
    waiting = person.shown("pair")
    item = unquote(waiting[0])
    person.post("/report", mode="pair", question=person.fields("pair")["question"], place="1")
    assert "of the catalogue" in admin.page()
    other = Person(visit())
    other_waits = [other.shown(mode) for mode in ("nine", "pair", "rate")]
    admin.post("/decide", kind=ITEM, name=item, decision="hide")
    assert person.client.get(f"/items/{waiting[0]}").status_code == 404
    assert admin.client.get(f"/admin/pictures/item/{waiting[0]}").status_code == 200
    for mode, before in zip(("nine", "pair", "rate"), other_waits, strict=True):
        after = other.shown(mode)
        assert waiting[0] not in after
        assert (after == before) == (waiting[0] not in before), "only questions with it are withdrawn"
    for _ in range(20):
        assert waiting[0] not in person.shown()
        person.answer("1")
        if "almost all pictures" in person.page():
            break
    admin.post("/decide", kind=ITEM, name=item, decision="keep")
    assert person.client.get(f"/items/{waiting[0]}").status_code == 200


def test_a_reported_picture_can_be_judged_after_others_were_made(person: Person, admin: Admin) -> None:
    before = set(person.strip())
    person.answer("1")
    gone = (before - set(person.strip())).pop()
    assert person.post("/report", picture=gone).status_code == 200
    assert admin.client.get(f"/admin/pictures/made/{gone}").headers["content-type"] == "image/png"


def test_an_undone_answer_about_a_hidden_picture_is_not_asked_again(person: Person, admin: Admin) -> None:
    item = person.shown("rate")[0]
    person.answer("5", "rate")
    admin.post("/decide", kind=ITEM, name=unquote(item), decision="hide")
    assert person.undo("rate").headers["location"] == "/ask/rate"
    assert person.shown("rate")[0] != item


def test_hidden_items_are_hidden_where_the_decoder_shows_real_pictures(
    person: Person, admin: Admin, studio: Studio, pictures: ArrayPictures, catalogue: Catalogue
) -> None:
    name = person.strip()[0]
    shown = studio.served.painter.submit(lambda painter: {painter.shows(each): each for each in catalogue.ids}).result()
    item = shown[name]
    assert person.client.get(f"/made/{name}").status_code == 200
    admin.post("/decide", kind=ITEM, name=item, decision="hide")
    assert person.client.get(f"/made/{name}").status_code == 404
    assert name not in person.page()
    archive = ZipFile(BytesIO(person.client.get("/export").content))
    made = [path for path in archive.namelist() if path.endswith(".png")]
    assert name not in {hashlib.sha256(archive.read(path)).hexdigest() for path in made}
    admin.post("/decide", kind=ITEM, name=item, decision="keep")
    assert person.client.get(f"/made/{name}").status_code == 200


@ON_BOTH
def test_names_that_cannot_be(person: Person, admin: Admin) -> None:
    for name in ("a\x00b", "\x00", "f" * 63, "../x", "F" * 64):
        assert person.post("/report", picture=name).status_code == 404
        assert person.post("/more", picture=name).status_code == 404
    token = CSRF.search(admin.page())
    assert token is not None
    for kind, name in ((ITEM, "a\x00b"), (ITEM, "made up"), (MADE, "\x00"), ("other", "a")):
        data = {"csrf": token[1], "kind": kind, "name": name, "decision": "hide"}
        assert admin.client.post("/admin/decide", data=data).status_code == 422
    for path in ("made/%00", "item/%00", "made/x", "other/x"):
        assert admin.client.get(f"/admin/pictures/{path}").status_code == 404


def test_a_hidden_made_picture_is_gone(person: Person, admin: Admin) -> None:
    name = person.strip()[0]
    assert person.post("/report", picture=name).status_code == 200
    assert admin.client.get(f"/admin/pictures/made/{name}").status_code == 200
    admin.post("/decide", kind=MADE, name=name, decision="hide")
    assert person.client.get(f"/made/{name}").status_code == 404
    assert name not in person.page()


def test_retrieval_shows_what_is_next_to_a_hidden_picture(catalogue: Catalogue, pictures: ArrayPictures) -> None:
    decoder = Retrieval(catalogue=catalogue, pictures=pictures)
    raw_BD = catalogue.embeddings_ND[:1]

    def decoded() -> bytes:
        return decoder.decode(raw_BD, negative_BD=None, prompt=None, generators=[None])[0].tobytes()  # type: ignore[list-item]

    shown = decoded()
    assert shown == pictures.open(catalogue.ids[0]).convert("RGB").tobytes()
    decoder.hidden = {catalogue.ids[0]}
    assert decoded() != shown


def test_only_the_token_opens_the_page(visit: Visit, studio: Studio) -> None:
    client = visit()
    assert "Token with the scope admin" in client.get("/admin").text
    for token in ("", "x", studio.tokens.issue("shop", ["ask", "export"], 1)):
        assert client.post("/admin/enter", data={"token": token}).status_code == 403
    for path in ("decide", "invite", "revoke", "leave"):
        assert client.post(f"/admin/{path}", data={"csrf": "x"}).status_code == 403
    assert client.get("/admin/pictures/item/a").status_code == 404


def test_its_forms_need_their_own_token(admin: Admin, person: Person, studio: Studio) -> None:
    assert admin.client.post("/admin/invite", data={"csrf": person.fields()["csrf"], "note": "x"}).status_code == 403
    token = CSRF.search(admin.page())
    assert token is not None
    evil = {"Origin": "https://evil.example"}
    assert admin.client.post("/admin/invite", data={"csrf": token[1]}, headers=evil).status_code == 403
    good = studio.tokens.issue("us", ["admin"], 1)
    assert admin.client.post("/admin/enter", data={"token": good}, headers=evil).status_code == 403


def test_guessing_is_slowed(studio: Studio) -> None:
    client = TestClient(create_app(studio, rates=Rates(wrong_tokens=3)), follow_redirects=False)
    found = [client.post("/admin/enter", data={"token": "x"}).status_code for _ in range(3)]
    assert found[0] == 403
    assert found[-1] == 429


@ON_BOTH
def test_the_page_counts(admin: Admin, person: Person) -> None:
    person.answer("none")
    person.answer("2")
    person.answer("4", "rate")
    text = admin.page()
    assert "1 person, 1 of them new" in text
    assert "3 answers" in text
    rows = re.findall(r"<tr><td>(nine|rate)</td><td>\w+</td>.*?</tr>", text)
    assert rows == ["nine", "rate"]
    nine = re.search(r"<tr><td>nine</td>.*?</tr>", text)
    assert nine is not None
    assert re.findall(r'<td class="n">([^<]+)</td>', nine[0])[:3] == ["2", "2", "1"]


@ON_BOTH
def test_without_a_code_nobody_is_let_in(studio: Studio, admin: Admin) -> None:
    client = TestClient(create_app(studio, invite_only=True, rates=MANY), follow_redirects=False)
    assert "Code of your invitation" in client.get("/").text
    for data in ({"start": "yes"}, {"start": "yes", "code": "wrong"}):
        assert client.post("/start", data=data).status_code == 403
    found = CODE.search(admin.post("/invite", note="friends", uses="1", days="2"))
    assert found is not None
    assert client.post("/start", data={"start": "yes", "code": found[1]}).status_code == 303
    assert client.get("/ask/nine").status_code == 200
    again = TestClient(create_app(studio, invite_only=True, rates=MANY), follow_redirects=False)
    assert again.post("/start", data={"start": "yes", "code": found[1]}).status_code == 403
    for wrong in ({"uses": "0"}, {"uses": "x"}, {"days": "-1"}, {"note": "x" * 81}):
        token = CSRF.search(admin.page())
        assert token is not None
        assert admin.client.post("/admin/invite", data={"csrf": token[1]} | wrong).status_code == 422
