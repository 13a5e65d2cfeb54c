"""What the routes for programs share: tokens with scopes, idempotency keys, refusals, and files of Parquet."""

from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from typing import IO, Annotated, Any

from fastapi import Depends, Header, HTTPException, Request
from fastapi.responses import StreamingResponse
from fastapi.security import HTTPBearer

from prefprior.studio.calls import Calls
from prefprior.studio.store.tokens import Token, Tokens
from prefprior.studio.web.limits import Bucket, client_of

EXTERNAL = r"^[A-Za-z0-9._~@+-]{1,128}$"  # what a platform calls a person
PARQUET = "application/vnd.apache.parquet"
PART = 1 << 20  # bytes of a file that are sent at a time
BEARER = HTTPBearer(auto_error=False)  # for the schema: `Gate` reads the header
Key = Annotated[str | None, Header(alias="Idempotency-Key", pattern=r"^[!-~]{1,128}$")]

PROBLEM = {
    "type": "object",
    "description": "RFC 9457",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"},
        "detail": {"type": "string", "description": "in words"},
    },
}  # fmt: skip


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """How refusals look, for the schema."""
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {"application/problem+json": {"schema": PROBLEM}}}
        for status in statuses
    }


REFUSALS = refusals(400, 401, 403, 404, 409, 413, 422, 429, 503)


class Gate:
    """Lets programs in by their tokens."""

    def __init__(self, tokens: Tokens, stored: Calls, per_token: Bucket, failures: Bucket) -> None:
        self._tokens, self._stored, self._per_token, self._failures = tokens, stored, per_token, failures

    def opened(self, scope: str) -> Any:
        """What a route depends on: the request's token, if it has a scope."""

        async def token(request: Request, _: Annotated[Any, Depends(BEARER)]) -> Token:
            return await self._token(request, scope)

        opened: Callable[..., Awaitable[Token]] = token
        return Depends(opened)

    async def _token(self, request: Request, scope: str) -> Token:
        """Whose token a request brings; wrong ones are counted by address."""
        kind, _, secret = request.headers.get("authorization", "").partition(" ")
        challenge: dict[str, Any] = {"WWW-Authenticate": "Bearer"}
        if kind.lower() != "bearer" or not secret:
            raise HTTPException(401, "send a token: Authorization: Bearer ...", challenge)
        found = await self._stored(self._tokens.find, secret.strip())
        if found is None:
            if wait := self._failures.wait(client_of(request)):
                raise HTTPException(429, "too many wrong tokens", {"Retry-After": str(int(wait) + 1)})
            raise HTTPException(401, "this token is unknown or has expired", challenge)
        if scope not in found.scopes:
            raise HTTPException(403, f"this token lacks the scope {scope}")
        if wait := self._per_token.wait(str(found.id)):
            raise HTTPException(429, "too many requests with this token", {"Retry-After": str(int(wait) + 1)})
        return found


def binary(kind: str) -> dict[int | str, dict[str, Any]]:
    """How a file looks, for the schema."""
    return {200: {"content": {kind: {"schema": {"type": "string", "format": "binary"}}}}}


def parquet(file: IO[bytes], name: str) -> StreamingResponse:
    """A file to be kept by this name."""
    named = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(iter(partial(file.read, PART), b""), media_type=PARQUET, headers=named)
