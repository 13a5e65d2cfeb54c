"""The small studio, on a database in a temporary folder."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from prefprior.data.pictures import ArrayPictures
from prefprior.elicitation.cast import Cast, Pool
from prefprior.predictor import Catalogue
from prefprior.studio.inference import Inference
from prefprior.studio.served import Parts
from prefprior.studio.service import Studio
from prefprior.studio.store.database import Database
from prefprior.studio.store.people import Profile
from prefprior.studio.store.studies import Studies, Study
from prefprior.studio.web.app import create_app
from tests.studio.postgres import Server, create, started
from tests.studio.small import (
    LEVELS,
    MANY,
    small_cast,
    small_catalogue,
    small_inference,
    small_parts,
    small_pictures,
    small_pool,
    small_studio,
)
from tests.studio.studying import ARMS, OfModel
from tests.studio.visiting import Person

DATABASES = ("sqlite", "postgresql")
ON_BOTH = pytest.mark.parametrize("served", DATABASES, indirect=True)


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return small_catalogue()


@pytest.fixture(scope="session")
def pictures(catalogue: Catalogue) -> ArrayPictures:
    return small_pictures(catalogue)


@pytest.fixture(scope="session")
def cast(catalogue: Catalogue) -> Cast:
    return small_cast(catalogue)


@pytest.fixture(scope="session")
def pool(cast: Cast) -> Pool:
    return small_pool(cast)


@pytest.fixture
def inference(cast: Cast, pool: Pool) -> Inference:
    return small_inference(cast, pool)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    with started() as server:
        yield server


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    made = Database.open(f"sqlite:///{tmp_path / 'studio.sqlite'}")
    yield made
    made.close()


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """Both kinds, one after the other."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite")
        return
    made = Database.open(create(request.getfixturevalue("postgres").url, f"test_{uuid.uuid4().hex}"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def shared_url(postgres: Server) -> str:
    url = create(postgres.url, "shared")
    Database.open(url).close()
    return url


@pytest.fixture
def served(request: pytest.FixtureRequest) -> Iterator[Database]:
    """The studio's: SQLite, and PostgreSQL too where tests are marked `ON_BOTH`; that one is emptied, not made anew."""
    if getattr(request, "param", "sqlite") == "sqlite":
        yield request.getfixturevalue("sqlite")
        return
    made = Database(request.getfixturevalue("shared_url"))
    with made.writing() as session:
        tables = "people, tokens, hidden, invitations, event_batches, studies"
        session.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
    yield made
    made.close()


@pytest.fixture
def studio(served: Database, inference: Inference, catalogue: Catalogue, pictures: ArrayPictures) -> Iterator[Studio]:
    made = small_studio(served, inference, catalogue, pictures)
    yield made
    made.close()


@pytest.fixture
def of_model(cast: Cast, pool: Pool, catalogue: Catalogue, pictures: ArrayPictures) -> OfModel:
    """The parts of a checkpoint with this hash."""

    def made(model: str) -> Parts:
        inference = small_inference(cast, pool)
        inference.model = model
        return small_parts(inference, catalogue, pictures)

    return made


@pytest.fixture
def visit(studio: Studio) -> Callable[[], TestClient]:
    """Opens browsers, each of which keeps its own cookies."""
    app = create_app(studio, rates=MANY)
    return lambda: TestClient(app, raise_server_exceptions=False, follow_redirects=False)


@pytest.fixture
def person(visit: Callable[[], TestClient]) -> Person:
    return Person(visit())


@pytest.fixture
def profile(person: Person, studio: Studio) -> Profile:
    found = studio.people.of_cookie(person.client.cookies["studio"])
    assert found is not None
    return found.profiles[0]


@pytest.fixture(params=["folder", "memory"])
def picture_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where made pictures are kept."""
    return str(tmp_path / "made") if request.param == "folder" else f"memory://{uuid.uuid4().hex}"


@pytest.fixture
def begun(served: Database) -> Study:
    """A study of two models."""
    return Studies(served).open(ARMS, LEVELS.raw)
