"""What is wrong with a request: RFC 9457 problems for platforms, a page in words for people."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionError
from sqlalchemy.orm.exc import StaleDataError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from prefprior.studio.inference import ExhaustedError
from prefprior.studio.service import UnfitError
from prefprior.studio.store.impressions import ConflictError
from prefprior.studio.store.people import RefusedError, UninvitedError
from prefprior.studio.store.picture_files import MissingPictureError, PicturesAwayError
from prefprior.studio.tasks import CancelledWorkError
from prefprior.studio.web.templates import page
from prefprior.studio.wishes import WishError
from prefprior.studio.worker import BusyError

RETRY_SECONDS = 2
STATUS: dict[type[Exception], int] = {
    BusyError: 503,
    OperationalError: 503,  # the database is away
    InterfaceError: 503,
    NoConnectionError: 503,  # all connections are in use
    PicturesAwayError: 503,
    MissingPictureError: 404,
    StaleDataError: 409,  # what was to be changed was deleted at the same moment
    ConflictError: 409,
    CancelledWorkError: 503,  # started over or deleted meanwhile: what is asked for now is another thing
    ExhaustedError: 409,
    UnfitError: 422,
    WishError: 422,
    UninvitedError: 403,
    RefusedError: 422,
}


def is_api(path: str) -> bool:
    """Whether a path is for programs."""
    return path.startswith("/v1/") or path in ("/healthz", "/readyz", "/metrics")


def answered(request: Request, status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """A refusal."""
    return refusal(request.url.path, status, detail, headers)


def refusal(path: str, status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """The same for a path, where there is no request yet."""
    title = HTTPStatus(status).phrase
    if is_api(path):
        body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
        return JSONResponse(body, status, headers, media_type="application/problem+json")
    made = page("message.html.j2", title=title, detail=detail, code=None, link="/")
    made.status_code = status
    made.headers.update(headers or {})
    return made


def install(app: FastAPI) -> None:
    """Has an application answer errors in this form."""

    def known(status: int) -> Callable[[Request, Exception], Awaitable[Response]]:
        async def handler(request: Request, error: Exception) -> Response:
            detail = "this was deleted meanwhile" if isinstance(error, StaleDataError) else str(error)
            if isinstance(error, OperationalError | InterfaceError | NoConnectionError):
                detail = "the database is away or busy for a moment"
            later = {"Retry-After": str(RETRY_SECONDS)} if status == 503 else None
            return answered(request, status, detail, later)

        return handler

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return answered(request, error.status_code, str(error.detail), dict(error.headers or {}))

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        # Without what was sent: it may be anything.
        told = [f"{'.'.join(map(_printable, each['loc']))}: {each['msg']}" for each in error.errors()[:5]]
        return answered(request, 422, _printable("; ".join(told)))

    for kind, status in STATUS.items():
        app.add_exception_handler(kind, known(status))
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)


def _printable(text: object) -> str:
    return str(text).encode("ascii", "replace").decode()[:500]
