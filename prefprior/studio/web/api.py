"""The HTTP API of platforms: bearer tokens, JSON, and Parquet for training."""

from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Path, Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from prefprior.studio.service import Studio
from prefprior.studio.store.impressions import Impression
from prefprior.studio.store.people import Person, Profile
from prefprior.studio.store.tokens import Token
from prefprior.studio.store.training import answers_as_parquet
from prefprior.studio.web.measures import Measures
from prefprior.studio.web.programs import EXTERNAL, PARQUET, REFUSALS, Gate, Key, binary, parquet

LARGEST = 2**53 - 1
External = Annotated[str, Path(pattern=EXTERNAL, description="what your platform calls the person")]
Number = Annotated[int, Path(ge=1, le=LARGEST)]
Page = Literal["nine", "pair", "rate", "roam"]


class Asking(BaseModel):
    """What is asked for."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Page = "nine"


class Answering(BaseModel):
    """An answer: a rating, or the items that were picked (none of them, where the question allows it)."""

    model_config = ConfigDict(extra="forbid", strict=True)

    question: int = Field(ge=1, le=LARGEST)
    rating: float | None = Field(None, allow_inf_nan=False)
    picked: list[Annotated[str, Field(max_length=512)]] | None = Field(None, max_length=100)
    latency: float | None = Field(None, ge=0, le=86_400, description="seconds; measured here where it is left out")


class Asked(BaseModel):
    """A question to show."""

    question: int
    kind: str
    items: list[str]
    pictures: list[str] = Field(description="where the picture of each item is")
    none: bool = Field(description="whether nothing may be picked")
    ratings: list[float] | None = Field(description="what can be answered, where one item is to be rated")


class Kept(BaseModel):
    """An answer is in the database."""

    question: int
    new: bool = Field(description="false where the same answer was sent before")


class Made(BaseModel):
    """Pictures made for a person."""

    pictures: list[str]
    answers: int
    concentration: float = Field(description="how close together posterior samples are, from 0 to 1")
    sure: str | None
    model: str | None = Field(description="null in a study")
    decoder: str | None = Field(description="null in a study")
    seed: int | None = Field(description="null in a study")


class RankedItems(BaseModel):
    """A part of the catalogue, best first."""

    items: list[str]
    utilities: list[float]
    total: int
    next: int | None = Field(description="the offset of the next part")


def router(studio: Studio, gate: Gate, measures: Measures) -> APIRouter:
    """The routes under /v1 of people, and of what they answered."""
    api = APIRouter(prefix="/v1", responses=REFUSALS)
    may_ask, may_read, may_export = (gate.opened(scope) for scope in ("ask", "read", "export"))

    async def profile_of(token: Token, person_id: str, *, make: bool = False) -> tuple[Person, Profile]:
        person = await studio.stored(studio.people.of_platform, token.platform, person_id, make=make)
        if person is None:
            raise HTTPException(404, "this person was never asked anything")
        return person, person.profiles[0]

    @api.post("/people/{person_id}/questions", status_code=201)
    async def ask(token: Annotated[Token, may_ask], person_id: External, asking: Asking, key: Key = None) -> Asked:
        """The next question to a person, kept as an impression; the same Idempotency-Key gets the same question."""
        if asking.kind not in studio.offer.kinds:
            raise HTTPException(422, f"this studio asks {', '.join(studio.offer.kinds)}")
        _, profile = await profile_of(token, person_id, make=True)
        question = await studio.question(profile, asking.kind, key)
        measures.questions.labels(question.kind).inc()
        return _asked(question, studio)

    @api.post("/people/{person_id}/answers")
    async def answer(token: Annotated[Token, may_ask], person_id: External, answering: Answering) -> Kept:
        """An answer. Sent twice it counts once; another one to the same question is refused."""
        _, profile = await profile_of(token, person_id)
        question = await studio.stored(studio.impressions.find, profile, answering.question)
        if question is None:
            raise HTTPException(404, "this person was not asked this question")
        if (answering.rating is None) == (answering.picked is None):
            raise HTTPException(422, "give either rating or picked")
        new = await studio.answer(
            profile, question, rating=answering.rating, picked=answering.picked or (), latency=answering.latency
        )
        if new:
            measures.answers.labels(question.kind).inc()
        return Kept(question=question.id, new=new)

    @api.delete("/people/{person_id}/answers/{question}", status_code=204)
    async def undo(token: Annotated[Token, may_ask], person_id: External, question: Number) -> None:
        """Takes an answer back."""
        _, profile = await profile_of(token, person_id)
        if await studio.undo(profile, question) is None:
            raise HTTPException(404, "this question has no answer of this person")
        measures.undone.inc()

    @api.get("/people/{person_id}/pictures")
    async def pictures(token: Annotated[Token, may_read], person_id: External) -> Made:
        """Pictures made for a person from all their answers."""
        _, profile = await profile_of(token, person_id)
        strip = await studio.strip(profile)
        shown = [name for name in strip.names if name not in studio.hiding.made]
        return Made(
            pictures=[f"/v1/people/{person_id}/pictures/{name}" for name in shown], answers=strip.answers,
            concentration=strip.concentration, sure=strip.sure, **strip.by_whom,
        )  # fmt: skip

    @api.get("/people/{person_id}/pictures/{name}", response_class=Response, responses=binary("image/png"))
    async def picture(
        token: Annotated[Token, may_read], person_id: External, name: Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
    ) -> Response:
        """One of them, as PNG."""
        person, _ = await profile_of(token, person_id)
        found = await studio.maker.content(person, name)
        if found is None or name in studio.hiding.made:
            raise HTTPException(404, "no such picture is made for this person now")
        return Response(found, media_type="image/png")

    @api.get("/people/{person_id}/ranking")
    async def ranking(
        token: Annotated[Token, may_read],
        person_id: External,
        limit: Annotated[int, Query(ge=1, le=1000)] = 20,
        offset: Annotated[int, Query(ge=0, le=LARGEST)] = 0,
    ) -> RankedItems:
        """The catalogue by expected utility, best first."""
        _, profile = await profile_of(token, person_id)
        found = await studio.ranking(profile, offset, limit)
        after = offset + len(found.items)
        return RankedItems(
            items=list(found.items), utilities=list(found.utilities), total=found.total,
            next=after if found.items and after < found.total else None,
        )  # fmt: skip

    @api.delete("/people/{person_id}", status_code=204)
    async def delete(token: Annotated[Token, may_ask], person_id: External) -> None:
        """Deletes a person with all that is kept of them."""
        person, _ = await profile_of(token, person_id)
        await studio.delete(person)

    @api.get("/items/{item:path}", response_class=Response, responses=binary("image/png"))
    async def item_picture(token: Annotated[Token, may_read], item: str) -> Response:
        """A picture of the catalogue, as PNG."""
        found = await studio.picture(item)
        if found is None:
            raise HTTPException(404, "the catalogue has no such picture")
        return Response(found, media_type="image/png")

    @api.get("/export", response_class=Response, responses=binary(PARQUET))
    async def export(token: Annotated[Token, may_export]) -> Response:
        """All answers of the platform's people as Parquet for `source=table`; of everybody with the scope everyone."""
        platform = None if "everyone" in token.scopes else token.platform
        return parquet(await run_in_threadpool(answers_as_parquet, studio.database, platform), "answers.parquet")

    return api


def _asked(question: Impression, studio: Studio) -> Asked:
    rated = question.is_rating
    return Asked(
        question=question.id, kind=question.kind, items=list(question.items),
        pictures=[f"/v1/items/{quote(item)}" for item in question.items], none=question.kind.endswith("none"),
        ratings=list(studio.offer.levels) if rated else None,
    )  # fmt: skip
