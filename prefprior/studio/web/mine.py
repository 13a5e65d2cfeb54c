"""What is a person's own: profiles, an export of all that is kept, and its deletion."""

import json
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZipFile

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from prefprior.studio.alike import LEAST_ANSWERS
from prefprior.studio.service import Studio
from prefprior.studio.store.people import Person, RefusedError
from prefprior.studio.store.picture_files import MissingPictureError
from prefprior.studio.web.door import Door
from prefprior.studio.web.forms import number_in, to_page
from prefprior.studio.web.templates import TITLES, page
from prefprior.studio.worker import BusyError

SHARED = (
    "whoever has this code can mix the taste of this profile with theirs, and sees none of its answers. What they mix "
    "is deleted when you stop sharing. The code is shown only now"
)


def router(door: Door) -> APIRouter:
    """The routes of what is one's own."""
    studio, cookies, pages = door.studio, door.cookies, APIRouter(include_in_schema=False)

    @pages.get("/you")
    async def you(request: Request) -> Response:
        visitor = await door.visited(request)
        if visitor is None:
            return RedirectResponse("/", 303)
        counted = [
            (profile, (await studio.stored(studio.impressions.last, profile))[0]) for profile in visitor.person.profiles
        ]
        try:
            alike, busy = await studio.alike.nearest(visitor.profile) if studio.compares_people else None, False
        except BusyError:  # the rest of the page does not need the model
            alike, busy = None, True
        return page(
            "you.html.j2", visitor=visitor, counted=counted, alike=alike, busy=busy, least=LEAST_ANSWERS,
            compares=studio.compares_people, modes=door.modes, titles=TITLES, mode=None,
        )  # fmt: skip

    @pages.post("/profiles/{action}")
    async def profiles(request: Request, action: str) -> Response:
        visitor, form = await door.posted(request)
        back = RedirectResponse("/you", 303)
        if action == "add":
            chosen = await studio.stored(studio.people.add_profile, visitor.person, form.get("name", ""))
        else:
            number = number_in(form.get("profile", ""))
            found = next((each for each in visitor.person.profiles if each.id == number), None)
            if found is None:
                raise HTTPException(404, "you have no such profile")
            chosen = found
            if action == "delete":
                await studio.delete_profile(chosen)
                return back
            if action == "start-over":
                await studio.start_over(chosen)
            elif action == "share":
                code = await studio.stored(studio.people.share, chosen)
                return page("message.html.j2", title="Shared", detail=SHARED, code=code, link="/you")
            elif action == "find":
                if not studio.compares_people:
                    raise RefusedError("this studio does not compare tastes of people at the moment")
                await studio.stored(studio.tastes.let_find, chosen)
                return back
            elif action == "hide":
                await studio.hide(chosen)
                return back
            elif action == "unshare":
                await studio.unshare(chosen)
                return back
            elif action != "choose":
                raise HTTPException(404, "there is no such page")
        response = to_page(door.first)
        cookies.choose(response, chosen)
        return response

    @pages.get("/export")
    async def export(request: Request) -> Response:
        visitor = await door.visited(request)
        if visitor is None:
            return RedirectResponse("/", 303)
        body = await run_in_threadpool(_archive, studio, visitor.person)
        named = {"Content-Disposition": 'attachment; filename="my-studio-data.zip"'}
        return Response(body, media_type="application/zip", headers=named)

    @pages.post("/delete")
    async def delete(request: Request) -> Response:
        visitor, form = await door.posted(request)
        if form.get("sure") != "yes":
            raise HTTPException(400, "tick the box to delete everything")
        await studio.delete(visitor.person)
        response = RedirectResponse("/", 303)
        cookies.leave(response)
        return response

    return pages


def _archive(studio: Studio, person: Person) -> bytes:
    """All that is kept of a person: JSON and the pictures made for them, without those that are hidden. Those whose
    files are missing are listed."""
    out, missing = BytesIO(), list[str]()
    with ZipFile(out, "w", ZIP_DEFLATED) as archive:
        archive.writestr("data.json", json.dumps(studio.people.everything(person), indent=2, ensure_ascii=False))
        for path, name in studio.albums.all_of(person):
            if name in studio.hiding.made:
                continue
            try:
                archive.writestr(path, studio.files.read(name))
            except MissingPictureError:
                missing.append(path)
        if missing:
            archive.writestr("missing.txt", "".join(f"{path}\n" for path in missing))
    return out.getvalue()
