"""`source=app`: what is answered in a studio's database, as ratings and choices, on SQLite and on PostgreSQL."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from prefprior.data.datamodule import PreferenceDataModule
from prefprior.data.embedding.table import EmbeddingTable
from prefprior.data.pictures import Pictures
from prefprior.data.sources.table import TableSource
from prefprior.data.splits import Splits
from prefprior.ratings import RatingsTable
from prefprior.studio.source import AppSource
from prefprior.studio.store.database import Database
from prefprior.studio.store.people import People
from prefprior.studio.store.tables import AnswerRow
from prefprior.studio.store.training import answers_as_parquet
from tests.small_run import make_run
from tests.studio.answering import arrived, chose, rated


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("table"))


@pytest.fixture
def catalogue(files: Path) -> TableSource:
    return TableSource(
        ratings=str(files / "ratings.csv"), pictures=str(files / "pictures"),
        embeddings=str(files / "vectors.npy"), items=str(files / "items.txt"), space="own",
    )  # fmt: skip


def url_of(database: Database) -> str:
    return database.engine.url.render_as_string(hide_password=False)


def answers(database: Database, catalogue: TableSource, *, rehearsal: bool = False) -> RatingsTable:
    return AppSource(database=url_of(database), catalogue=catalogue, rehearsal=rehearsal).ratings()


def named(table: RatingsTable, user: str) -> list[tuple[str, float]]:
    """The items of a user with their ratings, in order."""
    (rows,) = table.rows_of([user]).values()
    return [(str(table.items[table.item_N[row]]), float(table.rating_N[row])) for row in rows]


def test_ratings_and_choices_are_read_as_they_were_given(database: Database, catalogue: TableSource) -> None:
    person = arrived(database)
    rated(database, person.profiles[0], "i03", 4.0)
    chose(database, person.profiles[0], ("i01", "i02", "i05"), (2,))
    chose(database, person.profiles[0], ("i07", "i08"), ())
    table = answers(database, catalogue)
    assert [str(user) for user in table.users] == [f"{person.public_id}-{person.profiles[0].id}"]
    assert named(table, table.users[0]) == [
        ("i03", 4.0), ("i01", 1.0), ("i02", 1.0), ("i05", 5.0), ("i07", 1.0), ("i08", 1.0)
    ]  # fmt: skip
    assert table.question_N is not None
    assert table.question_N.tolist() == [-1, 0, 0, 0, 1, 1]
    assert table.picked_N.tolist() == [False, False, False, True, False, False]
    assert table.propensity_N is not None
    assert table.propensity_N.tolist() == pytest.approx([0.25, 0.9, 0.9, 0.25, 0.9, 0.25])
    assert table.time_N is not None
    assert (np.diff(table.time_N) >= 0).all()
    assert table.shown_N is not None
    assert table.shown_N.all()


def test_each_profile_is_a_user_and_a_person_is_in_one_part(database: Database, catalogue: TableSource) -> None:
    for _ in range(40):
        for profile in arrived(database, profiles=3).profiles:
            rated(database, profile, "i03", 4.0)
    table = answers(database, catalogue)
    parts = Splits(val=0.3, test=0.3).parts(table)
    assert len(table) == 120
    by_person: dict[str, set[str]] = {}
    for row, part in enumerate(parts):
        by_person.setdefault(str(table.people_U[table.user_N[row]]), set()).add(part)
    assert len(by_person) == 40
    assert all(len(found) == 1 for found in by_person.values())
    assert {part for found in by_person.values() for part in found} == {"train", "val", "test"}


def test_new_people_move_nobody_to_another_part(database: Database, catalogue: TableSource) -> None:
    def parts(table: RatingsTable) -> dict[str, str]:
        found = Splits(val=0.3, test=0.3).parts(table)
        return {str(table.users[user]): str(part) for user, part in zip(table.user_N, found, strict=True)}

    for _ in range(20):
        rated(database, arrived(database).profiles[0], "i03", 4.0)
    before = parts(answers(database, catalogue))
    for _ in range(20):
        rated(database, arrived(database).profiles[0], "i04", 2.0)
    after = parts(answers(database, catalogue, rehearsal=True))
    assert len(before) == 20
    assert before.items() <= after.items()


def test_the_deleted_are_gone(database: Database, catalogue: TableSource) -> None:
    stays, goes = arrived(database), arrived(database)
    for person in (stays, goes):
        rated(database, person.profiles[0], "i03", 4.0)
    People(database).delete(goes)
    assert [str(user).split("-")[0] for user in answers(database, catalogue).users] == [stays.public_id]


def test_the_earlier_ratings_stay_as_they_were(sqlite: Database, catalogue: TableSource) -> None:
    rated(sqlite, arrived(sqlite).profiles[0], "i03", 4.0)
    alone, both = catalogue.ratings(), answers(sqlite, catalogue, rehearsal=True)
    assert len(both) == len(alone) + 1
    assert named(both, "u07") == named(alone, "u07")
    parts = dict(zip(alone.user_N, Splits().parts(alone), strict=True))
    again = dict(zip(both.user_N, Splits().parts(both), strict=True))
    assert parts.items() <= again.items(), "nobody who was held out is trained on now"
    assert both.propensity_N is not None
    assert set(both.propensity_N[: len(alone)]) == {1.0}


class Divided:
    """A source with a split of its own, without validation."""

    name = "divided"

    def __init__(self, source: TableSource) -> None:
        self.source = source

    def ratings(self) -> RatingsTable:
        table = self.source.ratings()
        return replace(table, part_N=np.where(table.user_N < 30, "train", "test_unseen"))

    def pictures(self) -> Pictures | None:
        return None

    def embeddings(self) -> EmbeddingTable | None:
        return self.source.embeddings()


def test_a_source_with_a_split_of_its_own_keeps_it(sqlite: Database, catalogue: TableSource) -> None:
    for _ in range(40):
        rated(sqlite, arrived(sqlite).profiles[0], "i03", 4.0)
    divided = Divided(catalogue)
    before = Splits().parts(divided.ratings())
    parts = Splits().parts(AppSource(database=url_of(sqlite), catalogue=divided).ratings())
    assert "val" in before
    assert parts[:-40].tolist() == before.tolist(), "nobody who was held out is trained on now"
    assert set(parts[-40:]) == {"train", "val", "test"}, "people of the studio are divided by a hash"


def test_a_lone_person_who_is_held_out_leaves_the_rest_to_train_on(sqlite: Database, catalogue: TableSource) -> None:
    rated(sqlite, arrived(sqlite).profiles[0], "i03", 4.0)
    splits = Splits(val=0.0, test=0.999)
    parts = splits.parts(AppSource(database=url_of(sqlite), catalogue=Divided(catalogue)).ratings())
    assert parts[-1] == "test"
    assert (parts == "train").any()


def test_a_person_is_in_the_same_part_without_the_earlier_ratings(sqlite: Database, catalogue: TableSource) -> None:
    for _ in range(40):
        rated(sqlite, arrived(sqlite).profiles[0], "i03", 4.0)
    both, alone = (
        Splits().parts(AppSource(database=url_of(sqlite), catalogue=Divided(catalogue), rehearsal=rehearsal).ratings())
        for rehearsal in (True, False)
    )
    assert both[-40:].tolist() == alone.tolist()


def test_an_export_of_the_same_answers_is_no_catalogue(
    sqlite: Database, catalogue: TableSource, files: Path, tmp_path: Path
) -> None:
    people = [arrived(sqlite) for _ in range(3)]
    for person in people:
        rated(sqlite, person.profiles[0], "i03", 4.0)
        rated(sqlite, person.profiles[0], "i04", 1.0)
    (tmp_path / "export.parquet").write_bytes(answers_as_parquet(sqlite).read())
    exported = TableSource(
        ratings=str(tmp_path / "export.parquet"), low=1, high=5,
        embeddings=str(files / "vectors.npy"), items=str(files / "items.txt"), space="own",
    )  # fmt: skip
    some = min(f"{person.public_id}-{person.profiles[0].id}" for person in people)
    with pytest.raises(ValueError, match=f"3 users .* such as {some}: .* add source.rehearsal=false"):
        answers(sqlite, exported, rehearsal=True)
    assert len(answers(sqlite, exported, rehearsal=False)) == 6


def test_of_a_rating_that_is_given_twice_the_last_answer_counts(database: Database, catalogue: TableSource) -> None:
    person = arrived(database)
    for rating in (4.0, 2.0, 3.0):
        rated(database, person.profiles[0], "i03", rating)
    with database.writing() as session:
        first = session.scalars(select(AnswerRow).order_by(AnswerRow.question_id)).first()
        assert first is not None
        first.answered_at += 1000.0  # its question lay open until the others were answered
    table = answers(database, catalogue)
    assert named(table, table.users[0]) == [("i03", 4.0)]


@pytest.mark.parametrize("told", [False, True])
def test_answers_are_shown_where_the_earlier_ratings_tell(sqlite: Database, catalogue: TableSource, told: bool) -> None:
    class Telling(Divided):
        def ratings(self) -> RatingsTable:
            table = self.source.ratings()
            return replace(table, shown_N=table.item_N % 2 == 0) if told else table

    rated(sqlite, arrived(sqlite).profiles[0], "i03", 4.0)
    earlier, table = (
        Telling(catalogue).ratings(),
        AppSource(database=url_of(sqlite), catalogue=Telling(catalogue)).ratings(),
    )
    if earlier.shown_N is None:
        assert table.shown_N is None
    else:
        assert table.shown_N is not None
        assert table.shown_N.tolist() == [*earlier.shown_N, True]


def test_pictures_and_embeddings_are_those_of_the_catalogue(sqlite: Database, catalogue: TableSource) -> None:
    person = arrived(sqlite)
    chose(sqlite, person.profiles[0], ("i01", "i02"), (0,))
    data = PreferenceDataModule(source=AppSource(database=url_of(sqlite), catalogue=catalogue), splits=Splits(val=0))
    assert data.catalogue.ids == PreferenceDataModule(source=catalogue).catalogue.ids
    assert data.source.pictures() is catalogue.pictures()
    user = f"{person.public_id}-{person.profiles[0].id}"
    assert user in {name for part in data.part_names for name in data.users(part)}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"database": "sqlite:///none.sqlite"}, "there is no database sqlite:///none.sqlite: start the studio once"),
        ({"database": "mysql://somewhere/db"}, "its driver is mysql"),
        ({"database": "postgresql+psycopg://me:secret@host/db"}, "give it as PGPASSWORD"),
        ({"database": "postgresql+psycopg://me@host/db?password=secret"}, "give it as PGPASSWORD"),
    ],
)
def test_what_is_no_database_is_refused(catalogue: TableSource, words: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AppSource(**words, catalogue=catalogue).ratings()


def test_a_database_without_answers_is_refused(database: Database, catalogue: TableSource) -> None:
    with pytest.raises(ValueError, match="nobody has answered anything in"):
        answers(database, catalogue)


def test_tables_of_another_version_are_not_changed(database: Database, catalogue: TableSource) -> None:
    database.downgrade("-1")
    before = database.revision()
    with pytest.raises(ValueError, match="another version of prefprior"):
        answers(database, catalogue)
    assert database.revision() == before


def test_a_rating_off_the_scale_is_named(sqlite: Database, catalogue: TableSource) -> None:
    rated(sqlite, arrived(sqlite).profiles[0], "i03", 9.0)
    with pytest.raises(ValueError, match=r"an answer of \w+-1: the rating 9 is outside the scale 1 to 5"):
        answers(sqlite, catalogue)


def test_it_needs_the_source_of_its_pictures(sqlite: Database, catalogue: TableSource) -> None:
    with pytest.raises(ValueError, match="experiment=app init_from=RUN takes that of the run"):
        AppSource(database=url_of(sqlite))
    nested = AppSource(database=url_of(sqlite), catalogue=catalogue)
    with pytest.raises(ValueError, match="an app's answers too"):
        AppSource(database=url_of(sqlite), catalogue=nested)
