"""Made pictures as files: there before their rows, gone after the last of them, whatever happened in between."""

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from anyio import from_thread
from fastapi.testclient import TestClient
from sqlalchemy import event, text

from prefprior.studio.service import Studio
from prefprior.studio.store.albums import GALLERY, STRIP, Albums
from prefprior.studio.store.database import Database
from prefprior.studio.store.moderation import Moderation
from prefprior.studio.store.people import People
from prefprior.studio.store.picture_files import ENOUGH, MissingPictureError, PictureFiles, PicturesAwayError, name_of
from prefprior.studio.store.tables import MADE, MadeRow
from tests.studio.picturing import album, somebody, there
from tests.studio.visiting import Person

Visit = Callable[[], TestClient]


@pytest.fixture
def files(database: Database, picture_url: str) -> PictureFiles:
    return PictureFiles(database, picture_url)


@pytest.fixture
def albums(database: Database, files: PictureFiles) -> Albums:
    return Albums(database, files)


def test_a_picture_is_a_file_before_its_row_is_there(database: Database, files: PictureFiles, albums: Albums) -> None:
    seen = list[bytes]()

    def before_insert(_: object, __: object, row: MadeRow) -> None:
        seen.append(files.read(row.sha256))

    event.listen(MadeRow, "before_insert", before_insert)
    try:
        albums.replace(somebody(database), album(b"one", b"two"), [b"one", b"two"])
    finally:
        event.remove(MadeRow, "before_insert", before_insert)
    assert sorted(seen) == [b"one", b"two"]


def test_pictures_of_the_album_before_are_removed(database: Database, files: PictureFiles, albums: Albums) -> None:
    profile = somebody(database)
    albums.replace(profile, album(b"one", b"two"), [b"one", b"two"])
    albums.replace(profile, album(b"three"), [b"three"], GALLERY)
    albums.replace(profile, album(b"two", b"four"), [b"two", b"four"], STRIP)
    assert there(files) == {name_of(each) for each in (b"two", b"three", b"four")}


def test_a_picture_stays_until_the_last_person_who_has_it_is_deleted(
    database: Database, files: PictureFiles, albums: Albums
) -> None:
    people = People(database)
    persons = [people.arrive()[0] for _ in range(2)]
    for person in persons:
        albums.replace(
            person.profiles[0], album(b"both", person.public_id.encode()), [b"both", person.public_id.encode()]
        )
    files.release(people.delete(persons[0]))
    assert there(files) == {name_of(b"both"), name_of(persons[1].public_id.encode())}
    files.release(people.delete(persons[1]))
    assert there(files) == set()


@pytest.mark.parametrize("how", ["start_over", "delete_profile", "unshare", "delete"])
def test_mixtures_of_others_lose_their_pictures_too(
    database: Database, files: PictureFiles, albums: Albums, how: str
) -> None:
    people = People(database)
    one, other = people.arrive()[0], people.arrive()[0]
    mine, theirs = one.profiles[0], other.profiles[0]
    people.share(theirs)
    albums.replace(mine, album(b"mixed", mixed_with=theirs.id), [b"mixed"], GALLERY, theirs)
    albums.replace(mine, album(b"mine"), [b"mine"])
    files.release(getattr(people, how)(other if how == "delete" else theirs))
    assert there(files) == {name_of(b"mine")}


def test_an_album_of_somebody_who_is_gone_leaves_no_file(
    database: Database, files: PictureFiles, albums: Albums
) -> None:  # fmt: skip
    people = People(database)
    person, _ = people.arrive()
    people.delete(person)
    albums.replace(person.profiles[0], album(b"late"), [b"late"])
    assert there(files) == set()


def test_a_reported_picture_stays_until_it_is_decided(database: Database, files: PictureFiles, albums: Albums) -> None:
    moderation, profile, name = Moderation(database, files), somebody(database), name_of(b"bad")
    albums.replace(profile, album(b"bad"), [b"bad"])
    moderation.report(profile, MADE, name, b"bad")
    albums.replace(profile, album(b"good"), [b"good"])
    assert moderation.made(name) == b"bad"
    moderation.hide(MADE, name)
    assert moderation.made(name) is None
    assert there(files) == {name_of(b"good")}


def test_a_report_of_a_picture_that_is_replaced_brings_its_file_back(database: Database, files: PictureFiles) -> None:
    moderation, profile = Moderation(database, files), somebody(database)
    moderation.report(profile, MADE, name_of(b"bad"), b"bad")
    assert moderation.made(name_of(b"bad")) == b"bad"
    files.release(People(database).start_over(profile))
    assert there(files) == set()


def test_what_a_killed_server_leaves_is_removed_by_the_next(
    database: Database, files: PictureFiles, albums: Albums
) -> None:  # fmt: skip
    people = People(database)
    person, profile = people.arrive()[0], somebody(database)
    albums.replace(person.profiles[0], album(b"deleted"), [b"deleted"])
    albums.replace(profile, album(b"kept"), [b"kept"])
    people.delete(person)  # killed before the file is removed
    files._write(name_of(b"no row yet"), b"no row yet")
    assert len(there(files)) == 3
    again = PictureFiles(database, files.url)
    again.recover()
    assert there(again) == {name_of(b"kept")}
    assert again.read(name_of(b"kept")) == b"kept"


def refusing(files: PictureFiles, monkeypatch: pytest.MonkeyPatch, bad: set[str]) -> None:
    """Storage that does not let some pictures be removed."""
    remove = files._system.rm_file

    def refuse(path: str) -> None:
        if Path(path).stem in bad:
            raise PermissionError("not this one")
        remove(path)

    monkeypatch.setattr(files._system, "rm_file", refuse)


def test_a_file_that_cannot_be_removed_keeps_no_other(files: PictureFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = [f"picture {place}".encode() for place in range(40)]
    names = sorted(name_of(each) for each in contents)
    for content in contents:
        files._write(name_of(content), content)
    refusing(files, monkeypatch, bad := set(names[: ENOUGH + 2]))
    files.release(names)
    for _ in range(2):  # those that failed come last
        with pytest.raises(PicturesAwayError):
            files.release_again()
    assert there(files) == bad
    bad.clear()
    files.release_again()
    assert there(files) == set()


class Slow:
    """Removal that waits."""

    def __init__(self, files: PictureFiles, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.goes_on, self._remove = threading.Event(), threading.Event(), files._system.rm_file
        monkeypatch.setattr(files._system, "rm_file", self)

    def __call__(self, path: str) -> None:
        self.begun.set()
        assert self.goes_on.wait(30)
        self._remove(path)


def test_nobody_waits_for_the_removal_of_others(files: PictureFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    files._write(name_of(b"old"), b"old")
    slow = Slow(files, monkeypatch)
    removing = threading.Thread(target=files.release, args=([name_of(b"old")],))
    removing.start()
    assert slow.begun.wait(30)
    written = threading.Event()

    def write() -> None:
        with files.held([b"new"]):
            files.release_again()
            written.set()

    writing = threading.Thread(target=write)
    writing.start()
    seen = written.wait(10)
    slow.goes_on.set()
    removing.join()
    writing.join()
    assert seen
    assert there(files) == set()


def test_a_picture_that_is_made_again_while_it_is_removed_stays(
    database: Database, files: PictureFiles, albums: Albums, monkeypatch: pytest.MonkeyPatch
) -> None:
    files._write(name_of(b"a"), b"a")
    slow = Slow(files, monkeypatch)
    removing = threading.Thread(target=files.release, args=([name_of(b"a")],))
    removing.start()
    assert slow.begun.wait(30)
    profile = somebody(database)
    making = threading.Thread(target=albums.replace, args=(profile, album(b"a"), [b"a"]))
    making.start()
    making.join(0.2)  # it would have written by now
    slow.goes_on.set()
    removing.join()
    making.join()
    assert files.read(name_of(b"a")) == b"a"


def test_what_is_let_go_while_its_removal_begins_is_removed(
    database: Database, files: PictureFiles, albums: Albums, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = People(database).arrive()[0]
    albums.replace(person.profiles[0], album(b"a"), [b"a"])
    named = files._named

    def deleted_meanwhile(names: Iterable[str]) -> set[str]:
        found = named(names)
        if found:
            files.release(People(database).delete(person))
        return found

    monkeypatch.setattr(files, "_named", deleted_meanwhile)
    files.release([name_of(b"a")])
    assert there(files) == set()


def test_pages_find_their_pictures_while_others_take_their_place(
    visit: Visit, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = Person(visit())
    person.answer()
    names = person.strip()
    owner = studio.people.of_cookie(person.client.cookies["studio"])
    assert owner is not None
    replace, seen = studio.albums.replace, list[bytes | None]()

    def replaced(*given: Any) -> None:
        replace(*given)
        seen.extend(from_thread.run(studio.maker.content, owner, name) for name in names)

    monkeypatch.setattr(studio.albums, "replace", replaced)
    person.answer("5")
    assert person.strip() != names
    assert [name_of(each or b"") for each in seen] == names


def test_pictures_of_an_earlier_version_are_moved_out_of_the_database(database: Database, picture_url: str) -> None:
    profile = somebody(database)
    database.downgrade("0006")
    contents = [f"picture {place}".encode() for place in range(450)]  # of several transactions
    with database.writing() as session:
        columns = "state, answers, model, decoder, seed, concentration, wish, made_at"
        values = "'s', 1, 'm', 'd', 3, 0.5, '{}', 1.0"
        session.execute(
            text(f"INSERT INTO albums (profile_id, kind, {columns}) VALUES (:id, 'strip', {values})"),
            {"id": profile.id},
        )
        rows = [
            {"id": profile.id, "place": place, "name": name_of(each), "content": each}
            for place, each in enumerate(contents)
        ]
        made = "INSERT INTO made VALUES (:id, 'strip', :place, :name, :content, :content, '[]')"
        session.execute(text(made), rows)
        reported = "INSERT INTO reports VALUES (:id, 'made', :name, :content, 1.0)"
        session.execute(text(reported), {"id": profile.id, "name": name_of(b"bad"), "content": b"bad"})
    database.upgrade()
    files = PictureFiles(database, picture_url)
    files.recover()
    kept = Albums(database, files).of(profile)
    assert kept is not None
    assert [files.read(name) for name in kept.names] == contents
    assert Moderation(database, files).made(name_of(b"bad")) == b"bad"
    with database.reading() as session:
        for table in ("made", "reports"):
            assert session.scalar(text(f"SELECT count(*) FROM {table} WHERE content IS NOT NULL")) == 0


def test_what_is_written_is_held_until_its_row_is_there(database: Database, files: PictureFiles) -> None:
    name = name_of(b"a")
    with files.held([b"a"]):
        with files.held([b"a"]):
            pass
        files.release([name])
        assert files.read(name) == b"a"
    with pytest.raises(MissingPictureError):
        files.read(name)


def test_people_come_and_go_with_the_same_pictures(database: Database, files: PictureFiles, albums: Albums) -> None:
    people, begin, failed = People(database), threading.Barrier(4), list[BaseException]()
    contents = [b"one", b"two", b"three"]

    def live(seed: int) -> None:
        begin.wait()
        try:
            for turn in range(6):
                person, _ = people.arrive()
                mine = [contents[(seed + turn) % 3], contents[turn % 3]]
                albums.replace(person.profiles[0], album(*mine), mine)
                assert all(files.read(name_of(each)) == each for each in mine)
                files.release(people.delete(person))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=live, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert there(files) == set()
