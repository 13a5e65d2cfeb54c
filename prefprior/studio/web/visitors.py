"""Who a browser's request is from, and whether it was sent from our own pages."""

import hashlib
import hmac
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from fastapi import HTTPException, Request
from fastapi.responses import Response

from prefprior.studio.service import Studio
from prefprior.studio.store.people import Person, Profile
from prefprior.studio.wishes import MOST_AXES

COOKIE, PROFILE_COOKIE = "studio", "studio_profile"
YEAR = 365 * 24 * 3600
FORM = "application/x-www-form-urlencoded"
MOST_FIELDS = MOST_AXES + 20


@dataclass(frozen=True)
class Visitor:
    """A person at a browser, and the profile that they chose."""

    person: Person
    profile: Profile
    csrf: str  # what a form of theirs must carry


@dataclass(frozen=True)
class Cookies:
    """How cookies are set."""

    secure: bool  # over HTTPS only

    def arrive(self, response: Response, token: str) -> None:
        """The visitor's cookie, which no script can read."""
        self._set(response, COOKIE, token)

    def choose(self, response: Response, profile: Profile) -> None:
        """Which profile is used."""
        self._set(response, PROFILE_COOKIE, str(profile.id))

    def leave(self, response: Response) -> None:
        """Takes both away."""
        for name in (COOKIE, PROFILE_COOKIE):
            self.drop(response, name)

    def get(self, request: Request, name: str) -> str:
        """A cookie of a request; empty where there is none."""
        return request.cookies.get(self._name(name), "")

    def admit(self, response: Response, name: str, value: str) -> None:
        """A cookie until the browser is closed, never sent from other sites."""
        response.set_cookie(self._name(name), value, httponly=True, samesite="strict", secure=self.secure)

    def drop(self, response: Response, name: str) -> None:
        """Takes a cookie away."""
        response.delete_cookie(self._name(name), httponly=True, samesite="lax", secure=self.secure)

    async def visitor(self, request: Request, studio: Studio) -> Visitor | None:
        """Whose cookie a request brings."""
        token = self.get(request, COOKIE)
        if not token:
            return None
        person = await studio.stored(studio.people.of_cookie, token)
        if person is None:
            return None
        chosen = self.get(request, PROFILE_COOKIE)
        number = int(chosen) if chosen.isascii() and chosen.isdecimal() and len(chosen) < 19 else None
        return Visitor(person, person.profile(number), csrf_of(token))

    def _set(self, response: Response, name: str, value: str) -> None:
        response.set_cookie(
            self._name(name), value, max_age=YEAR, httponly=True, samesite="lax", secure=self.secure
        )  # fmt: skip

    def _name(self, name: str) -> str:
        """Behind HTTPS, a name that browsers let no sibling host set."""
        return f"__Host-{name}" if self.secure else name


def csrf_of(token: str) -> str:
    """Follows from the cookie, which other sites cannot read."""
    return hmac.new(token.encode("utf-8", "surrogateescape"), b"studio form", hashlib.sha256).hexdigest()


def require_same_site(request: Request) -> None:
    """Refuses what another site's page has sent."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    foreign = site is not None and site not in ("same-origin", "none")
    if origin is not None and _host_of(origin) != request.headers.get("host"):
        foreign = True
    if foreign:
        raise HTTPException(403, "this request came from another site")


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # no URL
        return None


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form, each once."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise HTTPException(415, f"a form is sent as {FORM}")
    try:
        text = (await request.body()).decode("utf-8")
        fields = parse_qs(text, keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError:  # not UTF-8, or too many fields
        raise HTTPException(400, "this form cannot be read") from None
    if twice := [name for name, values in fields.items() if len(values) > 1]:
        raise HTTPException(400, f"{len(twice)} of the form's fields are given twice")
    return {name: values[0] for name, values in fields.items()}


def require_csrf(visitor: Visitor, form: dict[str, str]) -> None:
    """Refuses a form that none of our pages has made for this visitor."""
    given = form.get("csrf", "")
    if not hmac.compare_digest(given.encode("utf-8", "replace"), visitor.csrf.encode()):
        raise HTTPException(403, "this form is not from a page of yours: load the page again")
