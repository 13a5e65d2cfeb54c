"""Strips of a study over HTTP: pictures of both arms in an order that does not tell, and which of them are liked."""

import asyncio

import pytest
from sqlalchemy import select

from prefprior.studio.arms import Studied, counts, mixed, require_comparable
from prefprior.studio.inference import Making
from prefprior.studio.service import Studio
from prefprior.studio.store.database import Database
from prefprior.studio.store.studies import Studies, Study
from prefprior.studio.store.tables import MADE as MADE_KIND
from prefprior.studio.store.tables import MadeRow, ProfileRow, QuestionRow, TriedRow
from tests.studio.conftest import ON_BOTH
from tests.studio.small import LEVELS, MAKING, MODEL, small_files
from tests.studio.studying import ARMS, SECOND, OfModel, browser, opened, patiently
from tests.studio.visiting import MADE, Person

PEOPLE = 4  # some are in each arm


@ON_BOTH
def test_strips_mix_as_many_pictures_of_both_arms(served: Database, of_model: OfModel, begun: Study) -> None:
    with opened(served, of_model, begun) as studio:
        for _ in range(2):
            person = Person(browser(studio))
            person.answer("1")
            assert len(person.strip()) == MAKING.n
    with served.reading() as session:
        by_strip: dict[tuple[int, int], list[int]] = {}
        for row in session.scalars(select(TriedRow)):
            by_strip.setdefault((row.profile_id, row.strip), []).append(row.arm)
        made = session.execute(select(MadeRow.profile_id, MadeRow.place, MadeRow.sha256, MadeRow.arm)).all()
        tried = session.execute(select(TriedRow.profile_id, TriedRow.place, TriedRow.name, TriedRow.arm)).all()
    assert [sorted(arms) for arms in by_strip.values()] == [[0, 0, 1, 1]] * 2
    assert set(map(tuple, made)) == set(map(tuple, tried))


@ON_BOTH
def test_a_like_is_kept_and_shown_again(served: Database, of_model: OfModel, begun: Study) -> None:
    def pressed(page: str) -> list[bool]:
        return [part.startswith("true") for part in page.split('aria-pressed="')[1:]]

    with opened(served, of_model, begun) as studio:
        person, other = Person(browser(studio)), Person(browser(studio))
        person.answer("1")
        names = person.strip()
        page = person.page()
        assert MADE.findall(page) == names
        assert pressed(page) == [False] * MAKING.n
        strip = page.split('name="strip" value="')[1].split('"')[0]
        sent = {"strip": strip, "place": "2", "liked": "yes", "mode": "nine"}
        for _ in range(2):
            assert person.post("/like", **sent).headers["location"] == "/ask/nine"
        assert pressed(person.page()) == [False, False, True, False]
        csrf = person.fields()["csrf"]
        quietly = person.client.post("/like", data=sent | {"csrf": csrf, "place": "0"}, headers={"X-Fragment": "1"})
        assert (quietly.status_code, quietly.text) == (204, "")
        assert person.post("/like", **sent | {"liked": "no"}).status_code == 303
        assert pressed(person.page()) == [True, False, False, False]
        assert other.post("/like", **sent).status_code == 404
        for place in ("9", str(2**31), str(2**63 - 1)):
            assert person.post("/like", **sent | {"place": place}).status_code == 404
        assert person.post("/like", **sent | {"liked": "very"}).status_code == 422
        assert person.client.post("/like", data=sent).status_code == 403
        told = Studies(served).outcomes(begun)
    assert sum(sum(each.liked_made) for each in told.values()) == 1


def test_without_a_study_nothing_is_liked(studio: Studio) -> None:
    person = Person(browser(studio))
    person.answer("1")
    assert "/like" not in person.client.post(
        "/strip", data={"csrf": person.fields()["csrf"]}, headers={"X-Fragment": "1"}
    ).text  # fmt: skip
    assert person.post("/like", strip="1", place="0", liked="yes").status_code == 404
    with studio.database.reading() as session:
        assert session.scalars(select(TriedRow.place)).all() == []
        assert {row.arm for row in session.scalars(select(QuestionRow))} == {None}


def test_policies_alone_leave_each_strip_to_its_arm(served: Database, of_model: OfModel) -> None:
    arms = [ARMS[0], ARMS[0] | {"policies": {"nine": {"_target_": "somewhere.Random"}}}]
    study = Studies(served).open(arms, LEVELS.raw)
    with opened(served, of_model, study) as studio:
        for _ in range(4):
            person = Person(browser(studio))
            person.answer("1")
            person.strip()
    with served.reading() as session:
        rows = session.execute(select(ProfileRow.person_id, TriedRow.arm).join(TriedRow)).all()
    assert len(rows) == 4 * MAKING.n
    assert all(study.arm_of(person).place == arm for person, arm in rows)


def test_only_what_a_page_shows_counts(served: Database, of_model: OfModel, begun: Study) -> None:
    def tried() -> set[int]:
        with served.reading() as session:
            return set(session.scalars(select(TriedRow.place)))

    with opened(served, of_model, begun) as studio:
        person = Person(browser(studio))
        person.answer("1")
        assert patiently(lambda: person.post("/strip")).status_code == 303
        assert tried() == set(), "made, and not opened"
        found = studio.people.of_cookie(person.client.cookies["studio"])
        assert found is not None
        album = studio.albums.of(found.profiles[0])
        assert album is not None
        asyncio.run(studio.hiding.decide(MADE_KIND, album.names[2], hide=True))
        person.page()
    assert tried() == {place for place, name in enumerate(album.names) if name != album.names[2]}


def test_a_strip_of_one_picture_is_refused_where_both_runs_make_some(of_model: OfModel) -> None:
    require_comparable(of_model(MODEL), of_model(MODEL), 1)
    with pytest.raises(ValueError, match=r"making\.n must be at least 2"):
        require_comparable(of_model(MODEL), of_model(SECOND), 1)


def test_a_studio_of_such_a_strip_is_refused(served: Database, of_model: OfModel, begun: Study) -> None:
    studied = Studied(begun, of_model(SECOND))
    with pytest.raises(ValueError, match=r"making\.n must be at least 2"):
        Studio(database=served, files=small_files(served), parts=of_model(MODEL), making=Making(n=1), studied=studied)


def test_chance_decides_who_makes_one_more() -> None:
    told = [counts(5, 2, seed) for seed in range(200)]
    assert {tuple(each) for each in told} == {(2, 3), (3, 2)}
    assert 60 < sum(each[0] == 3 for each in told) < 140


def test_the_order_of_a_strip_does_not_tell() -> None:
    first_at = [mixed(4, seed).index(0) for seed in range(400)]
    assert all(60 < first_at.count(place) < 140 for place in range(4))
    assert all(sorted(mixed(4, seed)) == [0, 1, 2, 3] for seed in range(20))
