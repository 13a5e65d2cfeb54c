"""Who is at the door: the visitor behind a page or a form, within the limits of their address."""

from dataclasses import dataclass

from fastapi import HTTPException, Request

from prefprior.studio.service import Studio
from prefprior.studio.web.limits import Bucket, client_of
from prefprior.studio.web.visitors import Cookies, Visitor, form_of, require_csrf, require_same_site

OF_A_PICTURE = 0.05  # of a request


@dataclass(frozen=True)
class Door:
    """Lets visitors in."""

    studio: Studio
    cookies: Cookies
    per_client: Bucket

    async def visited(self, request: Request, cost: float = 1.0) -> Visitor | None:
        """Who looks at a page; None for somebody who has not started."""
        self.within(request, cost)
        return await self.cookies.visitor(request, self.studio)

    async def posted(self, request: Request) -> tuple[Visitor, dict[str, str]]:
        """Who sends a form, which is from a page of theirs."""
        self.within(request)
        require_same_site(request)
        form, visitor = await form_of(request), await self.cookies.visitor(request, self.studio)
        if visitor is None:
            raise HTTPException(403, "your cookie is missing or was deleted: begin at the first page")
        require_csrf(visitor, form)
        return visitor, form

    def within(self, request: Request, cost: float = 1.0) -> None:
        """Refuses an address that sends too much."""
        if wait := self.per_client.wait(client_of(request), cost):
            raise HTTPException(429, "too many requests at once", {"Retry-After": str(int(wait) + 1)})

    @property
    def modes(self) -> list[str]:
        """The pages of questions."""
        return list(self.studio.offer.kinds)

    @property
    def first(self) -> str:
        """Where a visitor begins."""
        return self.modes[0]

    def require_mode(self, mode: str) -> str:
        """A page of questions, or a refusal."""
        if mode not in self.studio.offer.kinds:
            raise HTTPException(404, "there is no such page")
        return mode
