"""The database's revisions: up and down with data in, and the tables that the code expects."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import String, inspect, text

from prefprior.studio.store.albums import Album, Albums, Picture
from prefprior.studio.store.database import Database
from prefprior.studio.store.impressions import Draw, Given, Impressions
from prefprior.studio.store.people import People
from prefprior.studio.store.picture_files import name_of
from prefprior.studio.store.tables import Base
from prefprior.studio.store.tokens import Tokens
from tests.studio.small import small_files


def test_the_newest_revision_has_the_tables_that_the_code_expects(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "render_as_batch": True})
        assert compare_metadata(context, Base.metadata) == []


def test_down_and_up_again_with_data_in(database: Database) -> None:
    people, impressions = People(database), Impressions(database)
    person, token = people.arrive()
    profile = person.profiles[0]
    question = impressions.record(profile, Draw("pair", "2", ("a", "b"), (0.9, 0.1), "eubo", "m" * 64, 2**62))
    impressions.answer(profile, question.id, Given(picked=(1,)), None)
    before = people.everything(person)
    albums = Albums(database, small_files(database))
    albums.replace(profile, Album("s", 1, "m" * 64, "decoder", 3, 0.5, None, (Picture(name_of(b"png")),)), [b"png"])
    Tokens(database).issue("shop", ["ask"], 1)
    database.downgrade("0001")
    assert set(inspect(database.engine).get_table_names()) == {
        "people", "profiles", "questions", "shown", "answers", "alembic_version",
    }  # fmt: skip
    database.upgrade()
    found = people.of_cookie(token)
    assert found == person
    assert people.everything(person) == before
    assert albums.of(profile) is None, "what was made can be made again"
    assert impressions.answered(profile)[0].seed == 2**62


def test_numbers_of_deleted_rows_are_not_given_again_after_an_upgrade(database: Database) -> None:
    people, impressions = People(database), Impressions(database)
    draw = Draw("pair", "2", ("a", "b"), (0.9, 0.1), "eubo", "m" * 64, 7)
    kept, gone = people.arrive()[0], people.arrive()[0]
    deleted = [impressions.record(each.profiles[0], draw).id for each in (kept, gone)]
    database.downgrade("0003")
    with database.writing() as session:
        session.execute(text("DELETE FROM people WHERE id = :id"), {"id": gone.id})
    database.upgrade()
    assert people.arrive()[0].profiles[0].id > gone.profiles[0].id
    assert impressions.record(kept.profiles[0], draw).id > max(deleted)
    found = impressions.find(kept.profiles[0], deleted[0])
    assert found is not None
    assert found.page == "pair"


def test_a_table_that_is_altered_keeps_what_refers_to_it(database: Database) -> None:
    """SQLite makes it anew and drops the old one."""
    person, token = People(database).arrive()
    with database._one_migration() as connection:
        operations = Operations(MigrationContext.configure(connection))
        with operations.batch_alter_table("people", recreate="auto") as people:
            people.alter_column("platform", type_=String(65), existing_type=String(64))
    assert People(database).of_cookie(token) == person
    with database.engine.connect() as connection:
        assert not database.is_sqlite or connection.scalar(text("PRAGMA foreign_keys")) == 1


def test_a_migration_that_breaks_references_is_taken_back(sqlite: Database) -> None:
    person, token = People(sqlite).arrive()
    with pytest.raises(RuntimeError, match="refer to nothing"), sqlite._one_migration() as connection:
        connection.execute(text("DELETE FROM people"))
    assert People(sqlite).of_cookie(token) == person


def test_down_to_nothing_and_up(database: Database) -> None:
    People(database).arrive()
    database.downgrade("base")
    assert set(inspect(database.engine).get_table_names()) == {"alembic_version"}
    database.upgrade()
    assert People(database).arrive()


def test_opening_twice_changes_nothing(sqlite: Database, tmp_path: Path) -> None:
    person, token = People(sqlite).arrive()
    again = Database.open(f"sqlite:///{tmp_path / 'studio.sqlite'}")
    assert People(again).of_cookie(token) == person
    again.close()


def test_a_database_of_a_newer_version_is_refused(database: Database) -> None:
    with database.writing() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ValueError, match="newer version of prefprior"):
        database.upgrade()


def test_sqlite_is_set_up_for_readers_beside_a_writer(sqlite: Database) -> None:
    with sqlite.engine.connect() as connection:
        found = [connection.execute(text(f"PRAGMA {name}")).scalar() for name in ("journal_mode", "foreign_keys")]
        assert found == ["wal", 1]
        assert connection.execute(text("PRAGMA busy_timeout")).scalar() == 20_000


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "Give sqlite:///FILE"),
        ("sqlite://", "it names no file"),
        ("mysql://localhost/studio", "its driver is mysql"),
        ("sqlite:////nowhere/at/all/studio.sqlite", "cannot be used: unable to open database file"),
    ],
)
def test_databases_that_cannot_be_are_refused(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Database.open(url)
