"""Pages of questions: nine, pair, rate and roam, with the strip that follows."""

import time
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from prefprior.studio.inference import ExhaustedError
from prefprior.studio.service import Studio
from prefprior.studio.store.albums import Album
from prefprior.studio.store.impressions import Impression
from prefprior.studio.store.tables import MADE
from prefprior.studio.web.door import Door
from prefprior.studio.web.forms import number_in, to_page
from prefprior.studio.web.limits import Bucket, client_of
from prefprior.studio.web.measures import Measures
from prefprior.studio.web.templates import TITLES, page
from prefprior.studio.web.visitors import Visitor, form_of, require_same_site

NONE = "none"
REPORTED = "whoever runs this studio decides whether the picture is shown to anybody again"
LIKE, DISLIKE, MORE = ROAMED = ("like", "dislike", "more")
WORDS = {
    "nine": "Which of these do you like best?",
    "pair": "Which of the two do you like better?",
    "rate": "How much do you like this?",
    "roam": "Do you like this?",
}


def router(door: Door, arrivals: Bucket, measures: Measures, *, invite_only: bool) -> APIRouter:
    """The routes of arriving and of questions; `invite_only` lets in those with a code."""
    studio, pages = door.studio, APIRouter(include_in_schema=False)

    async def question_values(visitor: Visitor, mode: str) -> dict[str, Any]:
        question, over = None, None
        try:
            posed = await studio.posed(visitor.profile, mode)
            question, answered, last = posed.question, posed.answered, posed.last
            measures.questions.labels(question.kind).inc()
        except ExhaustedError as error:
            over, (answered, last) = str(error), await studio.stored(studio.impressions.last, visitor.profile)
        return {
            "question": question, "over": over, "mode": mode, "words": WORDS[mode], "now": time.time(),
            "csrf": visitor.csrf, "answered": answered, "last": last,
            "levels": studio.offer.levels, "may_pick_none": studio.offer.kinds[mode].none,
        }  # fmt: skip

    async def strip_values(visitor: Visitor, strip: Album | None) -> dict[str, Any]:
        """Of a strip that the page shows."""
        tried = None if strip is None else await studio.show(visitor.profile, strip)
        return {"strip": strip, "tried": tried, "csrf": visitor.csrf, "hiding": studio.hiding}

    @pages.get("/")
    async def welcome(request: Request) -> Response:
        if await door.visited(request) is not None:
            return to_page(door.first)
        return page("welcome.html.j2", invite_only=invite_only)

    @pages.post("/start")
    async def start(request: Request) -> Response:
        if wait := arrivals.wait(client_of(request)):
            raise HTTPException(429, "too many visitors from your address", {"Retry-After": str(int(wait) + 1)})
        require_same_site(request)
        form = await form_of(request)
        response = to_page(door.first)
        if await door.cookies.visitor(request, studio) is None:
            _, token = await studio.stored(studio.people.arrive, form.get("code", "") if invite_only else None)
            door.cookies.arrive(response, token)
        return response

    @pages.get("/ask/{mode}")
    async def ask(request: Request, mode: str) -> Response:
        door.require_mode(mode)
        visitor = await door.visited(request)
        if visitor is None:
            return RedirectResponse("/", 303)
        strip, fresh = await studio.maker.kept_strip(visitor.profile)
        values = await question_values(visitor, mode) | await strip_values(visitor, strip) | {"fresh": fresh}
        return page("ask.html.j2", visitor=visitor, modes=door.modes, titles=TITLES, **values)

    @pages.post("/ask/{mode}")
    async def answer(request: Request, mode: str) -> Response:
        door.require_mode(mode)
        visitor, form = await door.posted(request)
        question = await asked(visitor, form)
        given = _answer_in(form, question, studio) | {"latency": _latency(form, question)}
        if await studio.answer(visitor.profile, question, **given):
            measures.answers.labels(question.kind).inc()
            if form.get("answer") == MORE:
                near_D = await studio.embedding_of_item(visitor.profile, question.items[0])
                with suppress(ExhaustedError):  # the page says so
                    await studio.question(visitor.profile, mode, near_D=near_D)
        return await after(request, visitor, mode)

    async def asked(visitor: Visitor, form: dict[str, str]) -> Impression:
        """The question that a form is about."""
        number = number_in(form.get("question", ""))
        found = await studio.stored(studio.impressions.find, visitor.profile, number)
        if found is None:
            raise HTTPException(404, "you were not asked this question")
        return found

    async def after(request: Request, visitor: Visitor, mode: str) -> Response:
        """The next question: a part for our script, the page again without it."""
        if "x-fragment" in request.headers:
            return page("question.html.j2", **await question_values(visitor, mode))
        return to_page(mode)

    @pages.post("/report")
    async def report(request: Request) -> Response:
        """Of a picture of a question, by its place, or of a made one, by its name."""
        visitor, form = await door.posted(request)
        if name := form.get("picture"):
            made = await studio.maker.content(visitor.person, name)
            if made is None:
                raise HTTPException(404, "there is no such picture")
            await studio.stored(studio.moderation.report, visitor.profile, MADE, name, made)
            return page("message.html.j2", title="Thank you", detail=REPORTED, code=None, link="/made")
        mode = door.require_mode(form.get("mode", door.first))
        question = await asked(visitor, form)
        place = number_in(form.get("place", ""))
        if not 1 <= place <= len(question.items):
            raise HTTPException(422, "there is no such picture in this question")
        await studio.report(visitor.profile, question, question.items[place - 1])
        return await after(request, visitor, mode)

    @pages.post("/undo")
    async def undo(request: Request) -> Response:
        visitor, form = await door.posted(request)
        mode = door.require_mode(form.get("mode", door.first))
        # Named, so that a request that is sent again, or from another profile's page, takes nothing else back.
        question = await studio.undo(visitor.profile, number_in(form.get("answered", "")))
        if question is None:
            return await after(request, visitor, mode)
        measures.undone.inc()
        undone = question.page if question.page in studio.offer.kinds else mode
        if undone != mode and "x-fragment" in request.headers:
            return Response(status_code=205, headers={"X-Page": f"/ask/{undone}"})
        return await after(request, visitor, undone)

    @pages.post("/strip")
    async def strip(request: Request) -> Response:
        visitor, form = await door.posted(request)
        made = await studio.strip(visitor.profile)
        if "x-fragment" in request.headers:
            return page("strip.html.j2", mode=door.first, **await strip_values(visitor, made))
        return to_page(door.require_mode(form.get("mode", door.first)))

    @pages.post("/like")
    async def like(request: Request) -> Response:
        """A picture of a strip, in a study."""
        visitor, form = await door.posted(request)
        strip, place, liked = number_in(form.get("strip", "")), number_in(form.get("place", "")), form.get("liked")
        if liked not in ("yes", "no"):
            raise HTTPException(422, "a picture is liked, yes or no")
        if not await studio.like(visitor.profile, strip, place, liked=liked == "yes"):
            raise HTTPException(404, "there is no such picture")
        if "x-fragment" in request.headers:
            return Response(status_code=204)
        return to_page(door.require_mode(form.get("mode", door.first)))

    return pages


def _answer_in(form: dict[str, str], question: Impression, studio: Studio) -> dict[str, Any]:
    """What a form says: the number of a level, a place, or none."""
    given = form.get("answer", "")
    if question.page == "roam":
        if given not in ROAMED:
            raise HTTPException(422, f"the answers are {', '.join(ROAMED)}")
        return {"rating": studio.offer.levels[0 if given == DISLIKE else -1]}
    if question.is_rating:
        level = number_in(given)
        if not 1 <= level <= len(studio.offer.levels):
            raise HTTPException(422, "there is no such rating")
        return {"rating": studio.offer.levels[level - 1]}
    if given == NONE:
        return {"picked": ()}
    place = number_in(given)
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
