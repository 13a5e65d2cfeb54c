"""Limits: how many requests a client may send, and how large they may be."""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prefprior.errors import require_between
from prefprior.studio.web.problems import refusal

CLIENTS = 20_000  # whose requests are counted
LARGEST_BODY = 64 * 1024


class Bucket:
    """Token buckets: `per_minute` requests on average, a third of them at once."""

    def __init__(self, per_minute: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        require_between("per_minute", per_minute, 1, 1_000_000)
        self.rate, self.burst, self._clock = per_minute / 60, max(per_minute / 3, 1.0), clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str, cost: float = 1.0) -> float:
        """Seconds until a client may send this; 0, and it is counted, where it may now."""
        now = self._clock()
        left, then = self._left.pop(client, (self.burst, now))
        left = min(self.burst, left + (now - then) * self.rate)
        allowed = left >= cost
        self._left[client] = (left - cost if allowed else left, now)
        while len(self._left) > CLIENTS:
            self._left.popitem(last=False)
        return 0.0 if allowed else (cost - left) / self.rate


def client_of(request: HTTPConnection) -> str:
    """Who sends a request, by address; an IPv6 client has a whole /64."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if address.version == 4:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))


class BodyLimit:
    """Refuses bodies that are too large, by what they say and by what they are."""

    def __init__(self, app: ASGIApp, largest: int = LARGEST_BODY) -> None:
        self.app, self.largest = app, largest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        told = dict(scope["headers"]).get(b"content-length", b"0")
        if not told.isdigit() or int(told[:19]) > self.largest or len(told) > 19:
            status = 413 if told.isdigit() else 400
            await self._refuse(scope, receive, send, status)
            return
        body, more = bytearray(), scope["method"] not in ("GET", "HEAD", "OPTIONS")
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self.largest:
                await self._refuse(scope, receive, send, 413)
                return
        unread: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def replay() -> Message:
            return unread.pop() if unread else await receive()

        await self.app(scope, replay, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, status: int) -> None:
        detail = f"a request has at most {self.largest:,} bytes" if status == 413 else "Content-Length is no number"
        await refusal(scope["path"], status, detail, {"Connection": "close"})(scope, receive, send)
