"""The page of galleries: made as one wishes, mixed with another taste, taken away, and roamed from."""

import json
from collections.abc import Mapping
from contextlib import suppress
from io import BytesIO
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from prefprior.studio.inference import ExhaustedError
from prefprior.studio.store.albums import GALLERY, Album
from prefprior.studio.store.people import Profile
from prefprior.studio.web.door import Door
from prefprior.studio.web.forms import decimal_in, number_in, to_page
from prefprior.studio.web.templates import TITLES, page
from prefprior.studio.web.visitors import Visitor
from prefprior.studio.wishes import MOST_DIVERSITY, MOST_SEED, MOST_STEP, MOST_STRENGTH, Wish, Wishes

MOST = {"strength": MOST_STRENGTH, "diversity": MOST_DIVERSITY, "step": MOST_STEP, "seed": MOST_SEED}


def router(door: Door) -> APIRouter:
    """The routes of galleries."""
    studio, pages = door.studio, APIRouter(include_in_schema=False)

    @pages.get("/made")
    async def made(request: Request) -> Response:
        visitor = await door.visited(request)
        if visitor is None:
            return RedirectResponse("/", 303)
        kept = await studio.stored(studio.albums.of, visitor.profile, GALLERY)
        values = gallery_values(visitor, kept)
        return page("made.html.j2", visitor=visitor, modes=door.modes, titles=TITLES, mode="made", **values)

    def gallery_values(visitor: Visitor, album: Album | None) -> dict[str, Any]:
        wish = album.wish if album is not None else Wish(diversity=studio.making.diversity).plain()
        return {
            "album": album, "wish": wish, "wishes": studio.offer.wishes, "csrf": visitor.csrf,
            "roams": "roam" in studio.offer.kinds, "progress": studio.maker.progress(visitor.profile), "most": MOST,
            "others": [each for each in visitor.person.profiles if each.id != visitor.profile.id],
            "hiding": studio.hiding,
        }  # fmt: skip

    @pages.post("/made")
    async def make(request: Request) -> Response:
        visitor, form = await door.posted(request)
        other = await second(visitor, form)
        wish = _wish_in(form, studio.offer.wishes, mixed=other is not None)
        album = await studio.gallery(visitor.profile, wish, other)
        if "x-fragment" in request.headers:
            return page("gallery.html.j2", **gallery_values(visitor, album))
        return RedirectResponse("/made", 303)

    async def second(visitor: Visitor, form: dict[str, str]) -> Profile | None:
        """Whose taste takes part: another profile of theirs, or one that somebody shares by a code or lets
        people with a like taste find."""
        if code := form.get("code", "").strip():
            found = await studio.stored(studio.people.of_code, code)
            if found is None:
                raise HTTPException(422, "nobody shares a profile by this code any more")
        elif form.get("alike"):
            if not studio.compares_people:
                raise HTTPException(404, "this studio does not compare tastes of people at the moment")
            found = await studio.alike.found(visitor.profile, number_in(form["alike"]))
            if found is None:
                raise HTTPException(
                    404, "one of you may not be found, or has given too few answers: no mixture is made"
                )
        elif form.get("mix"):
            number = number_in(form["mix"])
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
        visitor = await door.visited(request)
        found = None if visitor is None else studio.maker.progress(visitor.profile)
        return JSONResponse(None if found is None else {"done": found.done, "total": found.total})

    @pages.post("/cancel")
    async def cancel(request: Request) -> Response:
        visitor, _ = await door.posted(request)
        studio.maker.cancel_gallery(visitor.profile)
        return RedirectResponse("/made", 303)

    @pages.post("/more")
    async def more(request: Request) -> Response:
        """Goes roaming near a made picture."""
        visitor, form = await door.posted(request)
        door.require_mode("roam")
        found = await studio.maker.picture(visitor.person, form.get("picture", ""))
        if found is None:
            raise HTTPException(404, "this picture is gone: others were made since")
        with suppress(ExhaustedError):
            await studio.question(visitor.profile, "roam", near_D=found.embedding_D)
        return to_page("roam")

    @pages.get("/made.zip")
    async def download(request: Request) -> Response:
        visitor = await door.visited(request)
        if visitor is None:
            return RedirectResponse("/", 303)
        album = await studio.stored(studio.albums.of, visitor.profile, GALLERY)
        if album is None:
            raise HTTPException(404, "no gallery was made yet")
        named = {"Content-Disposition": 'attachment; filename="made-for-me.zip"'}
        contents = await run_in_threadpool(studio.files.found, album.names)
        body = await run_in_threadpool(_gallery, album, contents, studio.hiding.made)
        return Response(body, media_type="application/zip", headers=named)

    return pages


def _gallery(album: Album, contents: Mapping[str, bytes], hidden: frozenset[str]) -> bytes:
    """A gallery's pictures, and a manifest of what made them; a picture whose file is missing has none here."""
    shown = [(place, each) for place, each in enumerate(album.pictures, 1) if each.name not in hidden]
    told = {
        **album.by_whom, "answers": album.answers,
        "concentration": album.concentration, "sure": album.sure, "wish": dict(album.wish),
        "pictures": [
            {"file": f"{place}.png" if each.name in contents else None, "sha256": each.name, "like": list(each.why)}
            for place, each in shown
        ],
    }  # fmt: skip
    out = BytesIO()
    with ZipFile(out, "w", ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", json.dumps(told, indent=2, ensure_ascii=False))
        for place, each in shown:
            if each.name in contents:
                archive.writestr(f"{place}.png", contents[each.name])
    return out.getvalue()


def _wish_in(form: dict[str, str], wishes: Wishes, *, mixed: bool) -> Wish:
    """What a form asks for; what it leaves out is as usual."""
    usual = Wish()
    return Wish(
        strength=decimal_in(form, "strength", usual.strength), diversity=decimal_in(form, "diversity", usual.diversity),
        axes={name: decimal_in(form, f"axis-{place}", 0.0) for place, name in enumerate(wishes.axes)},
        prompt=" ".join(form.get("prompt", "").split()), negative=form.get("negative") == "yes",
        seed=number_in(form.get("seed", "0")), mixed=mixed, share=decimal_in(form, "share", usual.share),
    )  # fmt: skip
