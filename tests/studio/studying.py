"""A study of two checkpoints, on the small studio."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fastapi.testclient import TestClient
from httpx2 import Response

from prefprior.studio.arms import Studied
from prefprior.studio.served import Parts
from prefprior.studio.service import Studio
from prefprior.studio.store.database import Database
from prefprior.studio.store.studies import Study
from prefprior.studio.web.app import create_app
from tests.studio.small import MAKING, MANY, MODEL, small_files

SECOND = "n" * 64
POLICIES = {"nine": {"_target_": "somewhere.Eubo"}}
ARMS = [{"run": "one", "model": MODEL, "policies": POLICIES}, {"run": "two", "model": SECOND, "policies": POLICIES}]

OfModel = Callable[[str], Parts]  # the parts of a checkpoint with this hash


@contextmanager
def opened(database: Database, of_model: OfModel, study: Study) -> Iterator[Studio]:
    """A studio as `serve.py` makes it; opened again, as after a restart."""
    first, second = (of_model(arm["model"]) for arm in study.arms)
    studio = Studio(
        database=database, files=small_files(database), parts=first, making=MAKING, studied=Studied(study, second)
    )
    try:
        yield studio
    finally:
        for served in studio.serving:
            served.close()


def browser(studio: Studio) -> TestClient:
    """Somebody without a cookie, and without limits of requests."""
    return TestClient(create_app(studio, rates=MANY), raise_server_exceptions=False, follow_redirects=False)


def patiently(send: Callable[[], Response]) -> Response:
    """Sends a request again where pictures take long, as our script does."""
    for _ in range(10):
        if (response := send()).status_code != 503:
            break
    return response
