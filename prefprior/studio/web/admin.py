"""The page of whoever runs the studio: use, policies compared, reports, invitations. Opened by a token."""

import hmac

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from prefprior.studio.service import Studio
from prefprior.studio.store.albums import is_name
from prefprior.studio.store.tables import ITEM, MADE
from prefprior.studio.web.limits import Bucket, client_of
from prefprior.studio.web.templates import page
from prefprior.studio.web.visitors import Cookies, csrf_of, form_of, require_same_site

SCOPE = "admin"
ADMIN_COOKIE = "studio_admin"


def router(studio: Studio, cookies: Cookies, failures: Bucket) -> APIRouter:
    """The routes under /admin."""
    admin = APIRouter(prefix="/admin", include_in_schema=False)

    async def is_admin(token: str) -> bool:
        found = await studio.stored(studio.tokens.find, token) if token else None
        return found is not None and SCOPE in found.scopes

    async def token_of(request: Request) -> str | None:
        token = cookies.get(request, ADMIN_COOKIE)
        return token if await is_admin(token) else None

    async def posted(request: Request) -> dict[str, str]:
        require_same_site(request)
        form, token = await form_of(request), await token_of(request)
        if token is None:
            raise HTTPException(403, "enter the token first")
        if not hmac.compare_digest(form.get("csrf", "").encode("utf-8", "replace"), csrf_of(token).encode()):
            raise HTTPException(403, "this form is not from a page of yours: load the page again")
        return form

    async def shown(token: str, code: str | None = None) -> Response:
        use = await run_in_threadpool(studio.figures.use)
        policies = await run_in_threadpool(studio.figures.policies)
        reported = await run_in_threadpool(studio.moderation.reported)
        invitations = await run_in_threadpool(studio.invitations.all)
        hidden = [(ITEM, name) for name in sorted(studio.hiding.items)]
        return page(
            "admin.html.j2", csrf=csrf_of(token), use=use, policies=policies, reported=reported, hidden=hidden[:200],
            hidden_made=sorted(studio.hiding.made)[:200],
            invitations=invitations, code=code, served={served.model for served in studio.serving},
        )  # fmt: skip

    @admin.get("")
    async def admin_page(request: Request) -> Response:
        token = await token_of(request)
        return page("enter.html.j2") if token is None else await shown(token)

    @admin.post("/enter")
    async def enter(request: Request) -> Response:
        require_same_site(request)
        token = (await form_of(request)).get("token", "").strip()
        if not await is_admin(token):
            if wait := failures.wait(client_of(request)):
                raise HTTPException(429, "too many wrong tokens", {"Retry-After": str(int(wait) + 1)})
            raise HTTPException(403, "this token is unknown, has expired or lacks the scope admin")
        response = RedirectResponse("/admin", 303)
        cookies.admit(response, ADMIN_COOKIE, token)
        return response

    @admin.post("/leave")
    async def leave(request: Request) -> Response:
        await posted(request)
        response = RedirectResponse("/admin", 303)
        cookies.drop(response, ADMIN_COOKIE)
        return response

    @admin.post("/decide")
    async def decide(request: Request) -> Response:
        form = await posted(request)
        kind, name = form.get("kind", ""), form.get("name", "")
        if kind not in (ITEM, MADE) or form.get("decision") not in ("hide", "keep"):
            raise HTTPException(422, "a decision is to hide or to keep a picture")
        await studio.hiding.decide(kind, name, hide=form["decision"] == "hide")
        return RedirectResponse("/admin", 303)

    @admin.post("/invite")
    async def invite(request: Request) -> Response:
        form = await posted(request)
        uses, days = form.get("uses", "1"), form.get("days", "30")
        if not all(each.isascii() and each.isdecimal() and len(each) <= 6 for each in (uses, days)):
            raise HTTPException(422, "people and days are whole numbers")
        code = await run_in_threadpool(studio.invitations.issue, form.get("note", ""), int(uses), float(days))
        return await shown(await token_of(request) or "", code)

    @admin.post("/revoke")
    async def revoke(request: Request) -> Response:
        number = (await posted(request)).get("invitation", "")
        if not (number.isascii() and number.isdecimal() and len(number) <= 15):
            raise HTTPException(422, "there is no such invitation")
        await run_in_threadpool(studio.invitations.revoke, int(number))
        return RedirectResponse("/admin", 303)

    @admin.get("/pictures/{kind}/{name:path}")
    async def picture(request: Request, kind: str, name: str) -> Response:
        """Hidden ones too."""
        if await token_of(request) is None or kind not in (ITEM, MADE):
            raise HTTPException(404, "there is no such picture")
        if kind == MADE:
            found = await run_in_threadpool(studio.moderation.made, name) if is_name(name) else None
        else:
            found = await studio.picture(name, even_hidden=True)
        if found is None:
            raise HTTPException(404, "there is no such picture")
        return Response(found, media_type="image/png")

    return admin
