"""What Prometheus is told, and the headers of every response."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prefprior.studio.web.problems import refusal

POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
METHODS = {"GET", "HEAD", "POST", "DELETE"}
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not no-referrer: forms would then be sent with the origin "null".
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class Measures:
    """Counters of one application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.seconds = Histogram(
            "studio_request_seconds", "Time to answer a request", ["route", "method", "status"], registry=self.registry
        )
        self.questions = Counter("studio_questions", "Questions shown", ["kind"], registry=self.registry)
        self.answers = Counter("studio_answers", "Answers kept", ["kind"], registry=self.registry)
        self.events = Counter("studio_events", "Events of platforms", ["outcome"], registry=self.registry)
        self.undone = Counter("studio_undone", "Answers taken back", registry=self.registry)
        self.waiting = Gauge("studio_jobs_waiting", "Jobs in a worker's queue", ["worker"], registry=self.registry)


class Measured:
    """Times every request by its route, adds `HEADERS`, and answers where the code has failed.

    Starlette answers failures outside of all middleware, and without these headers.
    """

    def __init__(self, app: ASGIApp, measures: Measures) -> None:
        self.app, self.measures = app, measures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status, begun = time.perf_counter(), 500, False

        async def sent(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                status, begun = message["status"], True
                held = {name.lower() for name, _ in message["headers"]}
                added = [(k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in held]
                if b"cache-control" not in held:
                    added.append((b"cache-control", b"no-store"))
                message["headers"] = [*message["headers"], *added]
            await send(message)

        try:
            await self.app(scope, receive, sent)
        except Exception:
            if not begun:
                failed = refusal(scope["path"], 500, "the studio has made a mistake, and noted it")
                await failed(scope, receive, sent)
            raise  # the server logs it
        finally:
            route = getattr(scope.get("route"), "path", "none")  # never the path: there are too many of them
            method = scope["method"] if scope["method"] in METHODS else "other"
            self.measures.seconds.labels(route, method, status).observe(time.perf_counter() - began)
