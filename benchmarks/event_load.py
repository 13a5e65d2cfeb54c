"""Platforms that send events to the studio of `benchmarks/studio.py`, batch after batch.

Batches are made beforehand: what is measured is the server. Rows are counted when a batch is acknowledged, which is
when the database has it.
"""

import argparse
import json
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any, Protocol

from prefprior.studio.store.database import Database
from prefprior.studio.store.tokens import Tokens

PEOPLE, ROWS, BATCHES = 5000, 500, 40  # rows of a batch, which is then below 64 KiB; batches of a sender
KINDS = ("impression", "impression", "impression", "click", "view", "like", "skip")


class Served(Protocol):
    """A studio."""

    port: int
    database: str

    @property
    def seconds(self) -> float:
        """Of the processor."""


@dataclass
class EventLoad:
    """Senders at once, and what became of what they sent."""

    name: str
    visitors: int
    rows: int = 0
    waits: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    def run(self, server: Served, args: argparse.Namespace) -> dict[str, Any]:
        """The figures."""
        database = Database.open(server.database, make=False)
        token = Tokens(database).issue("benchmark", ["ask", "read"], 1)
        database.close()
        items = _items(server.port, token)
        made = [_batches(random.Random(number), items) for number in range(self.visitors)]
        began, used = time.monotonic(), server.seconds
        senders = [
            threading.Thread(target=self._send, args=(server.port, token, batches, began + args.seconds))
            for batches in made
        ]  # fmt: skip
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        if not self.waits:
            raise SystemExit(f"no batch of events was taken: {dict(self.errors)}")
        ordered = sorted(self.waits)
        return {
            "rows a second": self.rows / (time.monotonic() - began), "rows": self.rows, "batches": len(ordered),
            "errors": sum(self.errors.values()), "p50 ms": 1000 * ordered[len(ordered) // 2],
            "p95 ms": 1000 * ordered[len(ordered) * 95 // 100],
            "server cpu ms per 1,000 rows": 1e6 * (server.seconds - used) / max(self.rows, 1),
        } | ({"errors by kind": dict(self.errors)} if self.errors else {})  # fmt: skip

    def _send(self, port: int, token: str, batches: list[bytes], end: float) -> None:
        connection, number = HTTPConnection("127.0.0.1", port, timeout=120), 0
        while (began := time.monotonic()) < end:
            body, number = batches[number % len(batches)], number + 1
            try:
                status, answer = _request(connection, token, "POST", "/v1/events", body)
            except (OSError, HTTPException) as error:
                self.errors[type(error).__name__] += 1
                continue
            if status != 200:
                self.errors[f"{status}"] += 1
                continue
            self.waits.append(time.monotonic() - began)
            self.rows += json.loads(answer)["kept"]


def _request(connection: HTTPConnection, token: str, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    kind = "application/x-ndjson" if path == "/v1/events" else "application/json"
    connection.request(method, path, body, {"Authorization": f"Bearer {token}", "Content-Type": kind})
    response = connection.getresponse()
    return response.status, response.read()


def _items(port: int, token: str) -> list[str]:
    """Some of the catalogue."""
    connection = HTTPConnection("127.0.0.1", port, timeout=120)
    _request(connection, token, "POST", "/v1/people/benchmark/questions", b"{}")
    status, answer = _request(connection, token, "GET", "/v1/people/benchmark/ranking?limit=1000")
    if status != 200:
        raise SystemExit(f"the catalogue is not told: {answer.decode()}")
    return json.loads(answer)["items"]


def _batches(draws: random.Random, items: list[str]) -> list[bytes]:
    return [_batch(draws, items, number) for number in range(BATCHES)]


def _batch(draws: random.Random, items: list[str], number: int) -> bytes:
    """Pages of ten items, each shown to one person."""
    lines, now = list[str](), time.time()
    for page in range(ROWS // 10):
        user = f"p{draws.randrange(PEOPLE)}"
        for item in draws.sample(items, 10):
            event = {
                "user": user, "item": item, "event": draws.choice(KINDS), "time": round(now, 1), "dwell": 6.5,
                "page": f"{number}-{page}",
            }  # fmt: skip
            lines.append(json.dumps(event))
    return "\n".join(lines).encode()
