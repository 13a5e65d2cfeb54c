"""Events of platforms: a log in lines of JSON comes in, and goes out as Parquet for training."""

import hashlib
import time
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from starlette.concurrency import run_in_threadpool

from prefprior.data.columns.ids import fault
from prefprior.data.sources.events import WEIGHTS
from prefprior.errors import nearest
from prefprior.studio.service import Studio
from prefprior.studio.store.events import Event, Key, events_as_parquet
from prefprior.studio.store.tokens import DAY, Token
from prefprior.studio.web import programs
from prefprior.studio.web.measures import Measures
from prefprior.studio.web.programs import EXTERNAL, PARQUET, REFUSALS, Gate

LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl")
EARLIEST = 946_684_800.0  # the year 2000: what is before it is a date or another clock
TOLD = 3  # broken lines that a refusal names


class Line(BaseModel):
    """An event, as `source=events` reads it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    user: str = Field(pattern=EXTERNAL, description="what your platform calls the person")
    item: str = Field(min_length=1, max_length=512)
    event: str = Field(description=f"one of {', '.join(WEIGHTS)}", json_schema_extra={"enum": list(WEIGHTS)})
    time: float = Field(ge=EARLIEST, description="seconds since 1970, no later than tomorrow")
    dwell: float | None = Field(None, ge=0, allow_inf_nan=False, description="seconds")
    page: str | None = Field(
        None, min_length=1, max_length=128, description="the same for all items that were shown together"
    )

    @field_validator("event")
    @classmethod
    def known_event(cls, event: str) -> str:
        """One with a weight."""
        if event not in WEIGHTS:
            raise ValueError(f"{event[:40]!a} is none of {', '.join(WEIGHTS)}{nearest(event, WEIGHTS)}")
        return event

    @field_validator("time")
    @classmethod
    def in_seconds(cls, at: float) -> float:
        """Until tomorrow."""
        if not at <= time.time() + DAY:
            raise ValueError("it is later than tomorrow, or not in seconds since 1970")
        return at

    @field_validator("page")
    @classmethod
    def a_page(cls, page: str | None) -> str | None:
        """An id."""
        if page is not None and (reason := fault(page)) is not None:
            raise ValueError(reason)
        return page


class Taken(BaseModel):
    """What became of a batch."""

    kept: int
    unknown: int = Field(description="events of items that are not in the catalogue, which are not kept")
    new: bool = Field(description="false where the same batch was sent before with this key")


def router(studio: Studio, gate: Gate, measures: Measures) -> APIRouter:
    """The routes of events."""
    api = APIRouter(prefix="/v1", responses=REFUSALS)
    may_ask, may_export = gate.opened("ask"), gate.opened("export")

    @api.post("/events", responses=programs.refusals(415), openapi_extra=_body())
    async def take(token: Annotated[Token, may_ask], request: Request, key: programs.Key = None) -> Taken:
        """Keeps a batch of events, all of it or, where a line is broken, nothing. One JSON object a line; sent again
        with the same Idempotency-Key within a day, it is not kept again."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in LINES:
            raise HTTPException(415, f"events are sent as {LINES[0]}: one JSON object a line")
        body = await request.body()
        batch = await run_in_threadpool(events_in, body)
        known = None if key is None else Key(key, hashlib.sha256(body).hexdigest())
        receipt = await run_in_threadpool(studio.events.take, token.platform, batch, studio.served.known, known)
        if receipt.new:
            measures.events.labels("kept").inc(receipt.kept)
            measures.events.labels("unknown item").inc(receipt.unknown)
        return Taken(kept=receipt.kept, unknown=receipt.unknown, new=receipt.new)

    @api.get("/events", response_class=Response, responses=programs.binary(PARQUET))
    async def export(token: Annotated[Token, may_export]) -> Response:
        """All events of the platform's people as Parquet for `source=events`; of everybody with the scope everyone."""
        platform = None if "everyone" in token.scopes else token.platform
        file = await run_in_threadpool(events_as_parquet, studio.database, platform)
        return programs.parquet(file, "events.parquet")

    return api


def events_in(body: bytes) -> list[Event]:
    """The events of a batch; a refusal names the lines that are broken, and says why."""
    events, broken = list[Event](), list[str]()
    for number, text in enumerate(body.split(b"\n"), 1):
        if not text.strip():
            continue
        try:
            events.append(Event(**Line.model_validate_json(text).model_dump()))
        except ValidationError as error:
            broken.append(f"line {number}: {_reason(error)}")
    if broken:
        more = f"; and {len(broken) - TOLD} more" if len(broken) > TOLD else ""
        raise HTTPException(422, f"nothing of this batch is kept. {'; '.join(broken[:TOLD])}{more}")
    if not events:
        raise HTTPException(422, "there are no events in this batch: send one JSON object a line")
    return events


def _reason(error: ValidationError) -> str:
    """In words, and without what was sent: it may be anything."""
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return f"this is no JSON: {first['ctx']['error']}".replace(" at line 1 column", " at column")
    place = "".join(f"{part}: " for part in first["loc"])
    return (place + first["msg"].removeprefix("Value error, ")).encode("ascii", "replace").decode()[:300]


def _body() -> dict[str, Any]:
    """The request's body, for the schema."""
    schema = {"type": "array", "minItems": 1, "description": "one a line", "items": Line.model_json_schema()}
    return {"requestBody": {"required": True, "content": {LINES[0]: {"schema": schema}}}}
