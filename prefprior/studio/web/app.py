"""The application: pages, API, health and figures, around one studio."""

import asyncio
import logging
import math
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI, HTTPException
from fastapi.responses import JSONResponse, Response
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from prefprior.studio.renewal import Renewal
from prefprior.studio.service import Studio
from prefprior.studio.store.picture_files import PicturesAwayError
from prefprior.studio.web import admin, api, events, galleries, media, mine, problems, questions
from prefprior.studio.web.door import Door
from prefprior.studio.web.limits import BodyLimit, Bucket
from prefprior.studio.web.measures import Measured, Measures
from prefprior.studio.web.programs import Gate
from prefprior.studio.web.visitors import Cookies

TENDING_SECONDS = 2.0
# Between threads. The model's thread gives the interpreter away at each of its hundreds of operations a question, and
# would wait for it as long as this each time.
SWITCH_SECONDS = 0.0005
PING_SECONDS = 1.0  # the database is asked no more often, by however many


@dataclass(frozen=True)
class Rates:
    """Requests a minute."""

    visitor: float = 600  # from one address, pages and answers
    arrivals: float = 60  # new visitors from one address
    token: float = 6000
    wrong_tokens: float = 30  # from one address

    def __post_init__(self) -> None:
        for rate in (self.visitor, self.arrivals, self.token, self.wrong_tokens):
            Bucket(rate)


async def _tending(studio: Studio) -> None:
    """Deletions that had to wait, keys that have expired, and the claim on a database that has restarted."""
    while True:
        await asyncio.sleep(TENDING_SECONDS)
        try:
            await run_in_threadpool(studio.database.hold)
            await run_in_threadpool(studio.database.forget_again)
            await run_in_threadpool(studio.events.expire)
            await run_in_threadpool(studio.files.release_again)
        except (SQLAlchemyError, PicturesAwayError):  # the next time
            pass
        except ValueError as error:
            logging.getLogger(__name__).error("%s. This server ends", error)
            signal.raise_signal(signal.SIGTERM)


def create_app(
    studio: Studio, *, secure_cookies: bool = False, invite_only: bool = False, rates: Rates | None = None,
    renewal: Renewal | None = None,
) -> FastAPI:  # fmt: skip
    """`secure_cookies`: behind HTTPS. `invite_only`: new visitors need a code. `renewal`: looks for new checkpoints."""
    rates, measures, pinged_at = rates or Rates(), Measures(), -math.inf

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        sys.setswitchinterval(SWITCH_SECONDS)
        tasks = [asyncio.create_task(_tending(studio))]
        tasks += [] if renewal is None else [asyncio.create_task(renewal.watch(studio))]
        yield
        for task in tasks:
            task.cancel()
        studio.cancel()
        await run_in_threadpool(studio.close)

    # Swagger's page is fetched from other hosts: there is the schema, and no page.
    app = FastAPI(
        title="prefprior studio", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url="/v1/openapi.json"
    )
    problems.install(app)

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> Response:
        return JSONResponse({"status": "ok"})

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> Response:
        if not studio.is_alive:
            raise HTTPException(503, "a worker has ended")
        nonlocal pinged_at
        if time.monotonic() - pinged_at > PING_SECONDS:
            await run_in_threadpool(studio.database.ping)
            pinged_at = time.monotonic()
        # In a study two models are served, and nobody is told which.
        return JSONResponse({"status": "ready", "model": studio.model if studio.arms is None else None})

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        for workers in zip(*(served.workers for served in studio.serving), strict=True):
            measures.waiting.labels(workers[0].name).set(sum(worker.waiting for worker in workers))
        return Response(generate_latest(measures.registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    cookies, wrong_tokens = Cookies(secure_cookies), Bucket(rates.wrong_tokens)
    gate = Gate(studio.tokens, studio.stored, Bucket(rates.token), wrong_tokens)
    for programs in (api, events):
        app.include_router(programs.router(studio, gate, measures))
    app.include_router(admin.router(studio, cookies, wrong_tokens))
    door = Door(studio, cookies, Bucket(rates.visitor))
    app.include_router(questions.router(door, Bucket(rates.arrivals), measures, invite_only=invite_only))
    for pages in (galleries, mine, media):
        app.include_router(pages.router(door))
    app.add_middleware(BodyLimit)
    app.add_middleware(Measured, measures=measures)  # the outermost of ours
    return app
