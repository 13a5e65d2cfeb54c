"""The pages of people: questions, what is made for them, and what is theirs to take away or delete."""

import json
import re
import time
from contextlib import suppress
from io import BytesIO
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from prefprior.data.columns.ids import fault
from prefprior.studio.inference import ExhaustedError
from prefprior.studio.service import Studio
from prefprior.studio.store.albums import GALLERY, Album
from prefprior.studio.store.impressions import Impression
from prefprior.studio.store.moderation import MADE
from prefprior.studio.store.people import Person, Profile
from prefprior.studio.web.limits import Bucket, client_of
from prefprior.studio.web.measures import Measures
from prefprior.studio.web.templates import STATIC, page, static
from prefprior.studio.web.visitors import Cookies, Visitor, form_of, require_csrf, require_same_site
from prefprior.studio.wishes import MOST_DIVERSITY, MOST_SEED, MOST_STEP, MOST_STRENGTH, Wish, Wishes

NONE = "none"
SHARED = (
    "whoever has this code can mix the taste of this profile with theirs, and sees none of its answers. It is shown "
    "only now"
)
REPORTED = "whoever runs this studio decides whether the picture is shown to anybody again"
LIKE, DISLIKE, MORE = ROAMED = ("like", "dislike", "more")
DECIMAL = re.compile(r"-?[0-9]{1,6}(\.[0-9]{1,6})?")
MOST = {"strength": MOST_STRENGTH, "diversity": MOST_DIVERSITY, "step": MOST_STEP, "seed": MOST_SEED}
TITLES = {"nine": "Nine", "pair": "Pair", "rate": "Rate", "roam": "Roam"}
WORDS = {
    "nine": "Which of these do you like best?",
    "pair": "Which of the two do you like better?",
    "rate": "How much do you like this?",
    "roam": "Do you like this?",
}


def router(
    studio: Studio, cookies: Cookies, per_client: Bucket, arrivals: Bucket, measures: Measures, *, invite_only: bool
) -> APIRouter:
    """The routes of people; `invite_only` lets in those with a code."""
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
        return {"strip": strip, "fresh": fresh, "is_hidden": studio.is_hidden}

    @pages.get("/")
    async def welcome(request: Request) -> Response:
        if await visited(request) is not None:
            return _to(first)
        return page("welcome.html.j2", invite_only=invite_only)

    @pages.post("/start")
    async def start(request: Request) -> Response:
        if wait := arrivals.wait(client_of(request)):
            raise HTTPException(429, "too many visitors from your address", {"Retry-After": str(int(wait) + 1)})
        require_same_site(request)
        form = await form_of(request)
        response = _to(first)
        if await cookies.visitor(request, studio) is None:
            if invite_only and not await run_in_threadpool(studio.invitations.take, form.get("code", "")):
                raise HTTPException(403, "a code of an invitation is needed, and this one lets nobody in")
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
        if form.get("answer") == MORE:
            near_D = await studio.embedding_of_item(question.items[0])
            with suppress(ExhaustedError):  # the page says so
                await studio.question(visitor.profile, mode, near_D=near_D)
        return await after(request, visitor, mode)

    async def after(request: Request, visitor: Visitor, mode: str) -> Response:
        """The next question: a part for our script, the page again without it."""
        if "x-fragment" in request.headers:
            return page("question.html.j2", **await question_values(visitor, mode))
        return _to(mode)

    @pages.post("/report")
    async def report(request: Request) -> Response:
        """Of a picture of a question, by its place, or of a made one, by its name."""
        visitor, form = await posted(request)
        if name := form.get("picture"):
            if await studio.made_picture(visitor.person, name) is None:
                raise HTTPException(404, "there is no such picture")
            await run_in_threadpool(studio.moderation.report, visitor.profile, MADE, name)
            return page("message.html.j2", title="Thank you", detail=REPORTED, code=None, link="/made")
        mode = require_mode(form.get("mode", first))
        question = await run_in_threadpool(studio.impressions.find, visitor.profile, _number(form.get("question", "")))
        if question is None:
            raise HTTPException(404, "you were not asked this question")
        place = _number(form.get("place", ""))
        if not 1 <= place <= len(question.items):
            raise HTTPException(422, "there is no such picture in this question")
        await studio.report(visitor.profile, question, question.items[place - 1])
        return await after(request, visitor, mode)

    @pages.post("/undo")
    async def undo(request: Request) -> Response:
        visitor, form = await posted(request)
        mode = require_mode(form.get("mode", first))
        # Named, so that a request that is sent again, or from another profile's page, takes nothing else back.
        question = await studio.undo(visitor.profile, _number(form.get("answered", "")))
        if question is None:
            return await after(request, visitor, mode)
        measures.undone.inc()
        undone = question.page if question.page in studio.offer.kinds else mode
        if undone != mode and "x-fragment" in request.headers:
            return Response(status_code=205, headers={"X-Page": f"/ask/{undone}"})
        return await after(request, visitor, undone)

    @pages.post("/strip")
    async def strip(request: Request) -> Response:
        visitor, form = await posted(request)
        made = await studio.strip(visitor.profile)
        if "x-fragment" in request.headers:
            return page("strip.html.j2", strip=made, fresh=True, is_hidden=studio.is_hidden)
        return _to(require_mode(form.get("mode", first)))

    @pages.get("/made")
    async def made(request: Request) -> Response:
        visitor = await visited(request)
        if visitor is None:
            return RedirectResponse("/", 303)
        kept = await run_in_threadpool(studio.albums.of, visitor.profile, GALLERY)
        values = gallery_values(visitor, kept)
        return page("made.html.j2", visitor=visitor, modes=_modes(studio), titles=TITLES, mode="made", **values)

    def gallery_values(visitor: Visitor, album: Album | None) -> dict[str, Any]:
        wish = album.wish if album is not None else Wish(diversity=studio.making.diversity).plain()
        return {
            "album": album, "wish": wish, "wishes": studio.offer.wishes, "csrf": visitor.csrf,
            "roams": "roam" in studio.offer.kinds, "progress": studio.progress(visitor.profile), "most": MOST,
            "others": [each for each in visitor.person.profiles if each.id != visitor.profile.id],
            "is_hidden": studio.is_hidden,
        }  # fmt: skip

    @pages.post("/made")
    async def make(request: Request) -> Response:
        visitor, form = await posted(request)
        other = await second(visitor, form)
        wish = _wish_in(form, studio.offer.wishes, None if other is None else other.id)
        album = await studio.gallery(visitor.profile, wish, other)
        if "x-fragment" in request.headers:
            return page("gallery.html.j2", **gallery_values(visitor, album))
        return RedirectResponse("/made", 303)

    async def second(visitor: Visitor, form: dict[str, str]) -> Profile | None:
        """Whose taste takes part: another profile of theirs, or one that somebody shares by a code."""
        if code := form.get("code", "").strip():
            found = await run_in_threadpool(studio.people.of_code, code)
            if found is None:
                raise HTTPException(422, "nobody shares a profile by this code any more")
        elif form.get("mix"):
            number = _number(form["mix"])
            found = next((each for each in visitor.person.profiles if each.id == number), None)
            if found is None:
                raise HTTPException(404, "you have no such profile")
        else:
            return None
        if found.id == visitor.profile.id:
            raise HTTPException(422, "a profile cannot be mixed with itself")
        return found

    @pages.get("/progress")
    async def progress(request: Request) -> Response:
        visitor = await visited(request)
        found = None if visitor is None else studio.progress(visitor.profile)
        return JSONResponse(None if found is None else {"done": found.done, "total": found.total})

    @pages.post("/cancel")
    async def cancel(request: Request) -> Response:
        visitor, _ = await posted(request)
        studio.cancel_gallery(visitor.profile)
        return RedirectResponse("/made", 303)

    @pages.post("/more")
    async def more(request: Request) -> Response:
        """Goes roaming near a made picture."""
        visitor, form = await posted(request)
        require_mode("roam")
        found = await studio.made_picture(visitor.person, form.get("picture", ""))
        if found is None:
            raise HTTPException(404, "this picture is gone: others were made since")
        with suppress(ExhaustedError):
            await studio.question(visitor.profile, "roam", near_D=found.embedding_D)
        return _to("roam")

    @pages.get("/made.zip")
    async def download(request: Request) -> Response:
        visitor = await visited(request)
        if visitor is None:
            return RedirectResponse("/", 303)
        album = await run_in_threadpool(studio.albums.of, visitor.profile, GALLERY)
        if album is None:
            raise HTTPException(404, "no gallery was made yet")
        named = {"Content-Disposition": 'attachment; filename="made-for-me.zip"'}
        return Response(
            await run_in_threadpool(_gallery, album, studio.hidden(MADE)), media_type="application/zip", headers=named
        )

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
            elif action == "share":
                code = await run_in_threadpool(studio.people.share, chosen)
                return page("message.html.j2", title="Shared", detail=SHARED, code=code, link="/you")
            elif action == "unshare":
                await run_in_threadpool(studio.people.unshare, chosen)
                return RedirectResponse("/you", 303)
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
        found = await studio.made_picture(visitor.person, name)
        if found is None or studio.is_hidden(MADE, name):
            raise HTTPException(404, "there is no such picture")
        # Kept by no browser: deleted, they are gone from a shared computer too.
        return Response(found.content, media_type="image/png")

    @pages.get("/static/{name}")
    async def static_file(name: str) -> Response:
        if name not in STATIC:
            raise HTTPException(404, "there is no such file")
        return Response(static(name), media_type=STATIC[name][2], headers={"Cache-Control": "public, max-age=86400"})

    return pages


def _answer_in(form: dict[str, str], question: Impression, studio: Studio) -> dict[str, Any]:
    """What a form says: the number of a level, a place, or none."""
    given = form.get("answer", "")
    if question.page == "roam":
        if given not in ROAMED:
            raise HTTPException(422, f"the answers are {', '.join(ROAMED)}")
        return {"rating": studio.offer.levels[0 if given == DISLIKE else -1]}
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
        for path, content in studio.albums.all_of(person):
            archive.writestr(path, content)
    return out.getvalue()


def _gallery(album: Album, hidden: frozenset[str]) -> bytes:
    """A gallery's pictures, and a manifest of what made them."""
    shown = [(place, each) for place, each in enumerate(album.pictures, 1) if each.name not in hidden]
    told = {
        "model": album.model, "decoder": album.decoder, "seed": album.seed, "answers": album.answers,
        "concentration": album.concentration, "sure": album.sure, "wish": dict(album.wish),
        "pictures": [
            {"file": f"{place}.png", "sha256": each.name, "like": list(each.why)}
            for place, each in shown
        ],
    }  # fmt: skip
    out = BytesIO()
    with ZipFile(out, "w", ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", json.dumps(told, indent=2, ensure_ascii=False))
        for place, each in shown:
            archive.writestr(f"{place}.png", each.content)
    return out.getvalue()


def _wish_in(form: dict[str, str], wishes: Wishes, mix_with: int | None) -> Wish:
    """What a form asks for; what it leaves out is as usual."""
    usual = Wish()
    return Wish(
        strength=_decimal(form, "strength", usual.strength), diversity=_decimal(form, "diversity", usual.diversity),
        axes={name: _decimal(form, f"axis-{place}", 0.0) for place, name in enumerate(wishes.axes)},
        prompt=" ".join(form.get("prompt", "").split()), negative=form.get("negative") == "yes",
        seed=_number(form.get("seed", "0")), mix_with=mix_with, share=_decimal(form, "share", usual.share),
    )  # fmt: skip


def _decimal(form: dict[str, str], name: str, usual: float) -> float:
    text = form.get(name, "")
    if not text:
        return usual
    if not DECIMAL.fullmatch(text):
        raise HTTPException(422, f"{name} is no number")
    return float(text)
