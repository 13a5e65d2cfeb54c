"""The pages of people: questions, what is made for them, and what is theirs to take away or delete."""

import json
import time
from io import BytesIO
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from prefprior.data.columns.ids import fault
from prefprior.studio.inference import ExhaustedError
from prefprior.studio.service import Studio
from prefprior.studio.store.impressions import Impression
from prefprior.studio.store.people import Person
from prefprior.studio.web.limits import Bucket, client_of
from prefprior.studio.web.measures import Measures
from prefprior.studio.web.templates import STATIC, page, static
from prefprior.studio.web.visitors import Cookies, Visitor, form_of, require_csrf, require_same_site

NONE = "none"
TITLES = {"nine": "Nine", "pair": "Pair", "rate": "Rate"}
WORDS = {
    "nine": "Which of these do you like best?",
    "pair": "Which of the two do you like better?",
    "rate": "How much do you like this?",
}


def router(
    studio: Studio, cookies: Cookies, per_client: Bucket, arrivals: Bucket, measures: Measures
) -> APIRouter:  # fmt: skip
    """The routes of people."""
    pages = APIRouter(include_in_schema=False)
    first = next(iter(studio.offer.kinds))

    async def visited(request: Request) -> Visitor | None:
        _within(per_client, request)
        return await cookies.visitor(request, studio)

    async def posted(request: Request) -> tuple[Visitor, dict[str, str]]:
        """Who sends a form, which is from a page of theirs."""
        _within(per_client, request)
        require_same_site(request)
        form, visitor = await form_of(request), await cookies.visitor(request, studio)
        if visitor is None:
            raise HTTPException(403, "your cookie is missing or was deleted: begin at the first page")
        require_csrf(visitor, form)
        return visitor, form

    def require_mode(mode: str) -> str:
        if mode not in studio.offer.kinds:
            raise HTTPException(404, "there is no such page")
        return mode

    async def question_values(visitor: Visitor, mode: str) -> dict[str, Any]:
        answered, last = await run_in_threadpool(studio.impressions.last, visitor.profile)
        shown: dict[str, Any] = {"question": None, "over": None}
        try:
            question = await studio.question(visitor.profile, mode)
            shown["question"] = question
            measures.questions.labels(question.kind).inc()
        except ExhaustedError as error:
            shown["over"] = str(error)
        return shown | {
            "mode": mode, "words": WORDS[mode], "now": time.time(), "csrf": visitor.csrf, "answered": answered,
            "last": last,
            "levels": studio.offer.levels, "may_pick_none": studio.offer.kinds[mode].none,
        }  # fmt: skip

    async def strip_values(visitor: Visitor) -> dict[str, Any]:
        strip, fresh = await studio.kept_strip(visitor.profile)
        return {"strip": strip, "fresh": fresh}

    @pages.get("/")
    async def welcome(request: Request) -> Response:
        if await visited(request) is not None:
            return _to(first)
        return page("welcome.html.j2")

    @pages.post("/start")
    async def start(request: Request) -> Response:
        if wait := arrivals.wait(client_of(request)):
            raise HTTPException(429, "too many visitors from your address", {"Retry-After": str(int(wait) + 1)})
        require_same_site(request)
        await form_of(request)
        response = _to(first)
        if await cookies.visitor(request, studio) is None:
            _, token = await run_in_threadpool(studio.people.arrive)
            cookies.arrive(response, token)
        return response

    @pages.get("/ask/{mode}")
    async def ask(request: Request, mode: str) -> Response:
        require_mode(mode)
        visitor = await visited(request)
        if visitor is None:
            return RedirectResponse("/", 303)
        values = await question_values(visitor, mode) | await strip_values(visitor)
        return page("ask.html.j2", visitor=visitor, modes=_modes(studio), titles=TITLES, **values)

    @pages.post("/ask/{mode}")
    async def answer(request: Request, mode: str) -> Response:
        require_mode(mode)
        visitor, form = await posted(request)
        number = form.get("question", "")
        question = await run_in_threadpool(studio.impressions.find, visitor.profile, _number(number))
        if question is None:
            raise HTTPException(404, "you were not asked this question")
        given = _answer_in(form, question, studio) | {"latency": _latency(form, question)}
        if await studio.answer(visitor.profile, question, **given):
            measures.answers.labels(question.kind).inc()
        return await after(request, visitor, mode)

    async def after(request: Request, visitor: Visitor, mode: str) -> Response:
        """The next question: a part for our script, the page again without it."""
        if "x-fragment" in request.headers:
            return page("question.html.j2", **await question_values(visitor, mode))
        return _to(mode)

    @pages.post("/undo")
    async def undo(request: Request) -> Response:
        visitor, form = await posted(request)
        mode = require_mode(form.get("mode", first))
        # Named, so that a request that is sent again, or from another profile's page, takes nothing else back.
        question = await studio.undo(visitor.profile, _number(form.get("answered", "")))
        if question is None:
            return await after(request, visitor, mode)
        measures.undone.inc()
        undone = next((name for name, kind in studio.offer.kinds.items() if str(kind) == question.kind), mode)
        if undone != mode and "x-fragment" in request.headers:
            return Response(status_code=205, headers={"X-Page": f"/ask/{undone}"})
        return await after(request, visitor, undone)

    @pages.post("/strip")
    async def strip(request: Request) -> Response:
        visitor, form = await posted(request)
        made = await studio.strip(visitor.profile)
        if "x-fragment" in request.headers:
            return page("strip.html.j2", strip=made, fresh=True)
        return _to(require_mode(form.get("mode", first)))

    @pages.get("/you")
    async def you(request: Request) -> Response:
        visitor = await visited(request)
        if visitor is None:
            return RedirectResponse("/", 303)
        counted = [
            (profile, (await run_in_threadpool(studio.impressions.last, profile))[0])
            for profile in visitor.person.profiles
        ]
        return page("you.html.j2", visitor=visitor, counted=counted, modes=_modes(studio), titles=TITLES, mode=None)

    @pages.post("/profiles/{action}")
    async def profiles(request: Request, action: str) -> Response:
        visitor, form = await posted(request)
        if action == "add":
            chosen = await run_in_threadpool(studio.people.add_profile, visitor.person, form.get("name", ""))
        else:
            number = _number(form.get("profile", ""))
            found = next((each for each in visitor.person.profiles if each.id == number), None)
            if found is None:
                raise HTTPException(404, "you have no such profile")
            chosen = found
            if action == "delete":
                await studio.delete_profile(chosen)
                return RedirectResponse("/you", 303)
            if action == "start-over":
                await studio.start_over(chosen)
            elif action != "choose":
                raise HTTPException(404, "there is no such page")
        response = _to(first)
        cookies.choose(response, chosen)
        return response

    @pages.get("/export")
    async def export(request: Request) -> Response:
        visitor = await visited(request)
        if visitor is None:
            return RedirectResponse("/", 303)
        body = await run_in_threadpool(_archive, studio, visitor.person)
        named = {"Content-Disposition": 'attachment; filename="my-studio-data.zip"'}
        return Response(body, media_type="application/zip", headers=named)

    @pages.post("/delete")
    async def delete(request: Request) -> Response:
        visitor, form = await posted(request)
        if form.get("sure") != "yes":
            raise HTTPException(400, "tick the box to delete everything")
        await studio.delete(visitor.person)
        response = RedirectResponse("/", 303)
        cookies.leave(response)
        return response

    @pages.get("/items/{item:path}")
    async def item_picture(request: Request, item: str) -> Response:
        _within(per_client, request, 0.05)
        if await cookies.visitor(request, studio) is None or fault(item) is not None:
            raise HTTPException(404, "there is no such picture")
        found = await studio.picture(item)
        if found is None:
            raise HTTPException(404, "there is no such picture")
        return Response(found, media_type="image/png", headers={"Cache-Control": "private, max-age=86400"})

    @pages.get("/made/{name}")
    async def made_picture(request: Request, name: str) -> Response:
        _within(per_client, request, 0.05)
        visitor = await cookies.visitor(request, studio)
        if visitor is None or len(name) != 64 or not name.isascii() or not name.isalnum():
            raise HTTPException(404, "there is no such picture")
        found = await run_in_threadpool(studio.strips.picture, visitor.person, name)
        if found is None:
            raise HTTPException(404, "there is no such picture")
        # Kept by no browser: deleted, they are gone from a shared computer too.
        return Response(found, media_type="image/png")

    @pages.get("/static/{name}")
    async def static_file(name: str) -> Response:
        if name not in STATIC:
            raise HTTPException(404, "there is no such file")
        return Response(static(name), media_type=STATIC[name][2], headers={"Cache-Control": "public, max-age=86400"})

    return pages


def _answer_in(form: dict[str, str], question: Impression, studio: Studio) -> dict[str, Any]:
    """What a form says: the number of a level, a place, or none."""
    given = form.get("answer", "")
    if question.is_rating:
        level = _number(given)
        if not 1 <= level <= len(studio.offer.levels):
            raise HTTPException(422, "there is no such rating")
        return {"rating": studio.offer.levels[level - 1]}
    if given == NONE:
        return {"picked": ()}
    place = _number(given)
    if not 1 <= place <= len(question.items):
        raise HTTPException(422, "there is no such picture in this question")
    return {"picked": (question.items[place - 1],)}


def _latency(form: dict[str, str], question: Impression) -> float | None:
    """Seconds since the page was sent: the question may have waited for days. None where the form does not tell."""
    try:
        seen_at = float(form.get("seen_at", ""))
    except ValueError:
        return None
    now = time.time()
    return now - seen_at if question.asked_at <= seen_at <= now else None


def _number(text: str) -> int:
    """A whole number that a database can hold, or a refusal."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 15):
        raise HTTPException(422, "a number is missing or wrong in this form")
    return int(text)


def _modes(studio: Studio) -> list[str]:
    return list(studio.offer.kinds)


def _to(mode: str) -> RedirectResponse:
    return RedirectResponse(f"/ask/{mode}", 303)


def _within(bucket: Bucket, request: Request, cost: float = 1.0) -> None:
    if wait := bucket.wait(client_of(request), cost):
        raise HTTPException(429, "too many requests at once", {"Retry-After": str(int(wait) + 1)})


def _archive(studio: Studio, person: Person) -> bytes:
    """All that is kept of a person: JSON and the pictures made for them."""
    out = BytesIO()
    with ZipFile(out, "w", ZIP_DEFLATED) as archive:
        archive.writestr("data.json", json.dumps(studio.people.everything(person), indent=2, ensure_ascii=False))
        for _, number, place, content in studio.strips.all_of(person):
            archive.writestr(f"made/profile-{number}/{place + 1}.png", content)
    return out.getvalue()
