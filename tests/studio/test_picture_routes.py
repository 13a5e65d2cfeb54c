"""What visitors and platforms are told of made pictures whose files are missing or away."""

import json
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest
from fastapi.testclient import TestClient

from prefprior.studio.service import Studio
from prefprior.studio.store.picture_files import PicturesAwayError
from prefprior.studio.store.tokens import Tokens
from tests.studio.test_picture_files import there
from tests.studio.visiting import MADE as NAME
from tests.studio.visiting import Person

Visit = Callable[[], TestClient]


def test_a_missing_or_damaged_file_is_a_404_with_a_sentence(visit: Visit, studio: Studio) -> None:
    person = Person(visit())
    person.answer()
    names = person.strip()
    first, second, *others = dict.fromkeys(names)  # two pictures of a strip may be the same
    Path(studio.files._path(first)).unlink()
    Path(studio.files._path(second)).write_bytes(b"half")
    for name in (first, second):
        response = person.client.get(f"/made/{name}")
        assert response.status_code == 404
        assert "he file of this picture is missing" in response.text
    assert person.client.get(f"/made/{others[0]}").status_code == 200
    archive = ZipFile(BytesIO(person.client.get("/export").content))
    missing = archive.read("missing.txt").decode().split()
    gone = [place for place, name in enumerate(names, start=1) if name in (first, second)]
    assert [path.rpartition("/")[2] for path in missing] == [f"strip-{place}.png" for place in gone]
    assert sum(name.endswith(".png") for name in archive.namelist()) == len(names) - len(gone)


def test_a_gallery_without_a_file_says_so(visit: Visit, studio: Studio) -> None:
    person = Person(visit())
    person.answer()
    person.post("/made")
    names = NAME.findall(person.client.get("/made").text)
    Path(studio.files._path(names[0])).unlink()
    archive = ZipFile(BytesIO(person.client.get("/made.zip").content))
    told = json.loads(archive.read("manifest.json"))["pictures"]
    # Two pictures of a gallery may be the same, and then lie in one file.
    kept = [None if name == names[0] else f"{place}.png" for place, name in enumerate(names, start=1)]
    assert [each["file"] for each in told] == kept
    assert len(archive.namelist()) == 1 + len([file for file in kept if file is not None])


def test_a_platform_is_told_too(visit: Visit, studio: Studio) -> None:
    client = visit()
    client.headers["Authorization"] = f"Bearer {Tokens(studio.database).issue('shop', ['ask', 'read'], 1)}"
    client.post("/v1/people/ann/questions", json={})
    path = client.get("/v1/people/ann/pictures").json()["pictures"][0]
    Path(studio.files._path(path.rpartition("/")[2])).unlink()
    refused = client.get(path)
    assert (refused.status_code, refused.headers["content-type"]) == (404, "application/problem+json")
    assert "have pictures made again" in refused.json()["detail"]


@pytest.fixture
def away(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Takes the storage away until it is called."""

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("no route to the storage")

    with monkeypatch.context() as broken:
        for name in ("cat_file", "rm_file", "open"):
            broken.setattr(studio.files._system, name, refuse)
        yield broken.undo


def test_storage_that_is_away_is_a_503_and_deletions_are_finished_later(
    visit: Visit, studio: Studio, request: pytest.FixtureRequest
) -> None:
    person = Person(visit())
    person.answer()
    names = person.strip()
    back = request.getfixturevalue("away")
    response = person.client.get(f"/made/{names[0]}")
    assert (response.status_code, response.headers["retry-after"]) == (503, "2")
    assert person.post("/delete", sure="yes").status_code == 303
    assert there(studio.files) == set(names)
    with pytest.raises(PicturesAwayError, match="are away or busy"):
        studio.files.release_again()
    back()
    studio.files.release_again()
    assert there(studio.files) == set()


def test_deleting_everything_removes_the_files(visit: Visit, studio: Studio) -> None:
    one, other = Person(visit()), Person(visit())
    for person in (one, other):
        person.answer()
        person.strip()
    one.post("/delete", sure="yes")
    assert there(studio.files) == set(other.strip())
