"""What the studio's database promises: one answer a question, undo, deletion that deletes, each profile by itself."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from prefprior.studio.store.albums import Album, Albums, Picture
from prefprior.studio.store.database import Database
from prefprior.studio.store.impressions import ConflictError, Draw, Given, Impressions
from prefprior.studio.store.people import FIRST_PROFILE, People, Profile, RefusedError
from prefprior.studio.store.picture_files import name_of
from prefprior.studio.store.tokens import Tokens
from tests.studio.postgres import Server, create
from tests.studio.small import small_files

DRAW = Draw("pair", "2", ("a", "b"), (0.9, 0.1), "eubo", "m" * 64, 7)


@pytest.fixture
def profile(database: Database) -> Profile:
    return People(database).arrive()[0].profiles[0]


def strip(*contents: bytes) -> Album:
    return Album("s", 1, "m" * 64, "decoder", 3, 0.5, None, tuple(Picture(name_of(each)) for each in contents))


def all_bytes(folder: Path) -> bytes:
    """Of all files."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def keep(database: Database, profile: Profile, *contents: bytes) -> Albums:
    albums = Albums(database, small_files(database))
    albums.replace(profile, strip(*contents), contents)
    return albums


def test_a_cookie_finds_its_person_and_is_not_kept(sqlite: Database, tmp_path: Path) -> None:
    person, token = People(sqlite).arrive()
    assert People(sqlite).of_cookie(token) == person
    assert People(sqlite).of_cookie(token + "x") is None
    sqlite.forget()
    assert token.encode() not in (tmp_path / "studio.sqlite").read_bytes()


def test_the_same_answer_twice_counts_once(database: Database, profile: Profile) -> None:
    impressions = Impressions(database)
    question = impressions.record(profile, DRAW)
    assert impressions.answer(profile, question.id, Given(picked=(1,)), None)
    assert not impressions.answer(profile, question.id, Given(picked=(1,)), None)
    assert [each.given for each in impressions.answered(profile)] == [Given(picked=(1,))]


def test_another_answer_to_the_same_question_is_refused(database: Database, profile: Profile) -> None:
    impressions = Impressions(database)
    question = impressions.record(profile, DRAW)
    impressions.answer(profile, question.id, Given(picked=(1,)), None)
    with pytest.raises(ConflictError, match="another answer already"):
        impressions.answer(profile, question.id, Given(picked=(0,)), None)


def test_the_same_request_gets_the_same_question(database: Database, profile: Profile) -> None:
    impressions = Impressions(database)
    first = impressions.record(profile, DRAW, "key")
    assert impressions.record(profile, DRAW, "key") == first
    assert impressions.standing(profile).asked == 1


def test_a_question_without_an_answer_waits(database: Database, profile: Profile) -> None:
    impressions = Impressions(database)
    question = impressions.record(profile, DRAW)
    assert impressions.standing(profile, page="pair").found == question
    assert impressions.standing(profile, page="9+none").found is None
    impressions.answer(profile, question.id, Given(picked=(1,)), None)
    assert impressions.standing(profile, page="pair").found is None


def test_an_undone_question_waits_again_in_the_place_of_the_next(database: Database, profile: Profile) -> None:
    impressions = Impressions(database)
    first = impressions.record(profile, DRAW)
    impressions.answer(profile, first.id, Given(picked=(1,)), None)
    second = impressions.record(profile, DRAW)
    assert impressions.undo(profile) == first
    assert impressions.standing(profile, page="pair").found == first
    assert impressions.answered(profile) == []
    assert impressions.find(profile, second.id) == second, "it was shown: the impression stays"
    assert impressions.undo(profile) is None


def test_any_answer_can_be_undone(database: Database, profile: Profile) -> None:
    impressions = Impressions(database)
    questions = [impressions.record(profile, DRAW) for _ in range(3)]
    for question in questions:
        impressions.answer(profile, question.id, Given(picked=(0,)), None)
    impressions.undo(profile, questions[1].id)
    assert [each.id for each in impressions.answered(profile)] == [questions[0].id, questions[2].id]


def test_latency_is_measured_where_it_is_not_given(database: Database) -> None:
    person, _ = People(database).arrive()
    impressions = Impressions(database)
    for latency in (None, 3.5):
        question = impressions.record(person.profiles[0], DRAW)
        impressions.answer(person.profiles[0], question.id, Given(picked=(0,)), latency)
    told = People(database).everything(person)["profiles"][0]["questions"]
    assert 0 <= told[0]["answer"]["latency"] < 3.5
    assert told[1]["answer"]["latency"] == 3.5


def test_a_question_of_another_profile_is_not_there(database: Database, profile: Profile) -> None:
    impressions, other = Impressions(database), People(database).arrive()[0].profiles[0]
    question = impressions.record(profile, DRAW)
    assert impressions.find(other, question.id) is None
    assert impressions.undo(other, question.id) is None
    with pytest.raises(ConflictError, match="gone"):
        impressions.answer(other, question.id, Given(picked=(1,)), None)


def test_an_export_holds_what_was_shown_and_answered(database: Database) -> None:
    person, _ = People(database).arrive()
    impressions = Impressions(database)
    question = impressions.record(person.profiles[0], DRAW)
    impressions.answer(person.profiles[0], question.id, Given(picked=(1,)), None)
    told = json.loads(json.dumps(People(database).everything(person)))["profiles"][0]["questions"][0]
    assert told["shown"] == [{"item": "a", "propensity": 0.9}, {"item": "b", "propensity": 0.1}]
    assert (told["answer"]["picked"], told["policy"], told["seed"]) == (["b"], "eubo", 7)


def test_deletion_leaves_no_trace_in_the_files(sqlite: Database, tmp_path: Path) -> None:
    people, impressions = People(sqlite), Impressions(sqlite)
    person, _ = people.arrive()
    profile = people.add_profile(person, "Unmistakable name")
    impressions.record(profile, Draw("pair", "2", ("unmistakable item", "b"), (0.9, 0.1), "eubo", "m" * 64, 7))
    keep(sqlite, profile, b"unmistakable picture" * 500)
    sqlite.forget()
    assert b"nmistakable" in (tmp_path / "studio.sqlite").read_bytes()
    assert b"unmistakable picture" in all_bytes(tmp_path / "pictures")
    small_files(sqlite).release(people.delete(person))
    left = all_bytes(tmp_path)
    assert b"nmistakable" not in left
    assert person.public_id.encode() not in left


def test_a_deletion_beside_a_reader_waits_for_nobody_and_is_finished_later(sqlite: Database, tmp_path: Path) -> None:
    people = People(sqlite)
    person, _ = people.arrive()
    people.add_profile(person, "Unmistakable name")
    with sqlite.reading() as session:
        session.execute(text("SELECT count(*) FROM people")).all()
        people.delete(person)
        assert not sqlite.forget_again(), "the reader still sees the rows"
        people.arrive()
    assert sqlite.forget_again()
    assert b"nmistakable" not in all_bytes(tmp_path)


def test_what_a_killed_server_had_not_forgotten_is_forgotten_at_the_next_start(
    sqlite: Database, tmp_path: Path
) -> None:
    people = People(sqlite)
    person, _ = people.arrive()
    people.add_profile(person, "Unmistakable name")
    with sqlite.reading() as session:
        session.execute(text("SELECT count(*) FROM people")).all()
        people.delete(person)
    assert b"nmistakable" in all_bytes(tmp_path)
    Database.open(f"sqlite:///{tmp_path / 'studio.sqlite'}").close()
    assert b"nmistakable" not in all_bytes(tmp_path)


def test_a_reader_sees_one_state(database: Database) -> None:
    people = People(database)
    with database.reading() as session:
        before = session.execute(text("SELECT count(*) FROM people")).scalar()
        people.arrive()
        assert session.execute(text("SELECT count(*) FROM people")).scalar() == before


def test_two_requests_that_delete_the_last_two_profiles_leave_one(database: Database) -> None:
    people = People(database)
    for _ in range(5):
        person, token = people.arrive()
        profiles = [person.profiles[0], people.add_profile(person, "Work")]
        both = Barrier(2)

        def delete(profile: Profile, both: Barrier = both) -> None:
            both.wait()
            people.delete_profile(profile)

        with ThreadPoolExecutor(2) as threads:
            list(threads.map(delete, profiles))
        again = people.of_cookie(token)
        assert again is not None
        assert len(again.profiles) == 1


def test_a_database_has_one_server(database: Database) -> None:
    url = database.engine.url.render_as_string(hide_password=False)
    other = Database.open(url)
    database.claim()
    with pytest.raises(ValueError, match="another server uses the database"):
        other.claim()
    database.close()
    other.claim()
    other.close()


def test_a_claim_is_taken_again_where_the_database_has_restarted(postgres: Server) -> None:
    url = create(postgres.url, "claimed")
    first, second = Database.open(url), Database.open(url)
    first.claim()
    first.hold()
    postgres.stop()
    with pytest.raises(OperationalError):
        first.hold()
    postgres.start()
    first.hold()
    with pytest.raises(ValueError, match="another server uses the database"):
        second.claim()
    postgres.stop()
    postgres.start()
    second.claim()
    with pytest.raises(ValueError, match="another server uses the database"):
        first.hold()
    first.close()
    second.close()


def test_a_mistyped_file_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no database"):
        Database.open(f"sqlite:///{tmp_path / 'mistyped.sqlite'}", make=False)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "other.sqlite").touch()
    with pytest.raises(ValueError, match="is not the studio's"):
        Database.open(f"sqlite:///{tmp_path / 'other.sqlite'}", make=False)


def test_numbers_of_deleted_profiles_are_not_given_again(database: Database) -> None:
    people = People(database)
    gone, _ = people.arrive()
    people.delete(gone)
    assert people.arrive()[0].profiles[0].id > gone.profiles[0].id


def test_deletion_of_one_leaves_the_others(database: Database, profile: Profile) -> None:
    people, impressions = People(database), Impressions(database)
    impressions.record(profile, DRAW)
    person, _ = people.arrive()
    impressions.record(person.profiles[0], DRAW)
    people.delete(person)
    assert impressions.standing(profile).asked == 1
    with pytest.raises(ConflictError, match="was deleted"):
        impressions.standing(person.profiles[0])


def test_what_comes_in_after_a_deletion_is_not_kept(database: Database) -> None:
    people = People(database)
    person, _ = people.arrive()
    people.delete(person)
    with pytest.raises(ConflictError, match="deleted"):
        Impressions(database).record(person.profiles[0], DRAW)
    assert keep(database, person.profiles[0], b"late").of(person.profiles[0]) is None


def test_starting_over_keeps_the_profile_and_draws_anew(database: Database) -> None:
    people, impressions = People(database), Impressions(database)
    person, token = people.arrive()
    profile = person.profiles[0]
    impressions.record(profile, DRAW)
    people.start_over(profile)
    assert impressions.standing(profile).asked == 0
    again = people.of_cookie(token)
    assert again is not None
    assert again.profiles[0].id == profile.id
    assert again.profiles[0].seed != profile.seed
    assert keep(database, profile, b"of the answers before").of(profile) is None


def test_the_last_profile_is_replaced_by_an_empty_one(database: Database) -> None:
    people = People(database)
    person, token = people.arrive()
    people.delete_profile(person.profiles[0])
    again = people.of_cookie(token)
    assert again is not None
    assert [profile.name for profile in again.profiles] == [FIRST_PROFILE]
    assert again.profiles[0].id != person.profiles[0].id


@pytest.mark.parametrize("name", ["", "   ", "x" * 41, "a\x00b", "a\x1bb", "\ud800", FIRST_PROFILE])
def test_names_that_cannot_be_are_refused(database: Database, name: str) -> None:
    people = People(database)
    with pytest.raises(RefusedError):
        people.add_profile(people.arrive()[0], name)


def test_a_picture_is_its_owners(database: Database, profile: Profile) -> None:
    person, _ = People(database).arrive()
    strips, made = keep(database, profile, b"one", b"two"), strip(b"one", b"two")
    keep(database, person.profiles[0], b"three")
    assert strips.picture(person, made.names[0]) is None
    assert strips.picture(person, name_of(b"three")) == Picture(name_of(b"three"))
    assert strips.of(profile) == made


def test_a_new_strip_takes_the_place_of_the_last(database: Database, profile: Profile) -> None:
    keep(database, profile, b"one", b"two")
    strips = keep(database, profile, b"three")
    assert strips.of(profile) == strip(b"three")


def test_a_token_opens_what_it_says_until_it_ends(database: Database) -> None:
    tokens = Tokens(database)
    token = tokens.issue("shop", ["ask", "read"], 1)
    found = tokens.find(token)
    assert found is not None
    assert (found.platform, found.scopes) == ("shop", {"ask", "read"})
    assert tokens.find(token[:-1]) is None
    assert tokens.revoke("shop") == 1
    assert tokens.find(token) is None


def test_an_expired_token_opens_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = Tokens(database)
    token = tokens.issue("shop", ["ask"], 1)
    monkeypatch.setattr("prefprior.studio.store.tokens.time.time", lambda: 1e11)
    assert tokens.find(token) is None


@pytest.mark.parametrize(
    ("platform", "scopes", "days", "message"),
    [
        ("a b", ["ask"], 1, "letters, digits and hyphens"),
        ("shop", [], 1, "without scopes"),
        ("shop", ["all"], 1, "a scope is 'all'"),
        ("shop", ["ask"], 0, "days must be"),
    ],
)
def test_tokens_that_make_no_sense_are_refused(
    database: Database, platform: str, scopes: list[str], days: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Tokens(database).issue(platform, scopes, days)
