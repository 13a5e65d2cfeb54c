"""Pictures, and the files of pages."""

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from prefprior.data.columns.ids import fault
from prefprior.studio.web.door import OF_A_PICTURE, Door
from prefprior.studio.web.templates import STATIC, static


def router(door: Door) -> APIRouter:
    """The routes of pictures and files."""
    studio, pages = door.studio, APIRouter(include_in_schema=False)

    @pages.get("/items/{item:path}")
    async def item_picture(request: Request, item: str) -> Response:
        if await door.visited(request, OF_A_PICTURE) is None or fault(item) is not None:
            raise HTTPException(404, "there is no such picture")
        found = await studio.picture(item)
        if found is None:
            raise HTTPException(404, "there is no such picture")
        return Response(found, media_type="image/png", headers={"Cache-Control": "private, max-age=86400"})

    @pages.get("/made/{name}")
    async def made_picture(request: Request, name: str) -> Response:
        visitor = await door.visited(request, OF_A_PICTURE)
        found = None if visitor is None else await studio.maker.content(visitor.person, name)
        if found is None or name in studio.hiding.made:
            raise HTTPException(404, "there is no such picture")
        # Kept by no browser: deleted, they are gone from a shared computer too.
        return Response(found, media_type="image/png")

    @pages.get("/static/{name}")
    async def static_file(name: str) -> Response:
        if name not in STATIC:
            raise HTTPException(404, "there is no such file")
        return Response(static(name), media_type=STATIC[name][2], headers={"Cache-Control": "public, max-age=86400"})

    return pages
