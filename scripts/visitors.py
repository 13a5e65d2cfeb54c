"""People of the built-in world who answer a running studio over HTTP, as a platform's. For scripts/loop.py."""

import json
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from prefprior.data.splits import Splits
from prefprior.world.source import WorldSource

PLATFORM = "loop"
RATING_EVERY = 4  # answers


class World:
    """The people, and what they say of pictures."""

    def __init__(self, people: int, known: int, root: Path) -> None:
        """`known` of them have rated before the first round."""
        self.source = WorldSource(people=people, root=str(root))
        table = self.source.embeddings()
        self.ids, self.vectors_ND = [str(each) for each in table.ids], table.vectors
        self.row = {item: row for row, item in enumerate(self.ids)}
        ratings = self.source.ratings()
        part_N = Splits(by="user").parts(ratings)
        part = dict(zip(ratings.users[ratings.user_N].tolist(), part_N.tolist(), strict=True))
        users = [str(user) for user in ratings.users]
        # Parts are by a hash of the person: who is new here is in the test part of every checkpoint of this loop.
        self.visitors = [user for user in users[known:] if part[user] == "train"]
        self.new = [user for user in users if part[user] == "test"]
        self._lock = threading.Lock()  # its caches are not for several threads

    def says(self, user: str, items: Sequence[str], seed: int) -> tuple[np.ndarray, np.ndarray]:
        """How much someone likes each picture at this moment, and the ratings."""
        rows = [self.row[item] for item in items]
        with self._lock:
            return self.source.answers(user, self.vectors_ND[rows], np.random.default_rng([seed, int(user[7:])]))


class Client:
    """A platform's connection."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=300)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def send(self, method: str, path: str, body: Any = None, key: str | None = None) -> Any:
        """The reply; a busy studio is asked again."""
        headers = self._headers | ({} if key is None else {"Idempotency-Key": key})
        while True:
            self._connection.request(method, path, None if body is None else json.dumps(body), headers)
            reply = self._connection.getresponse()
            told = reply.read()
            if reply.status in (200, 201):
                return json.loads(told)
            if reply.status != 503:
                raise SystemExit(f"error: {method} {path} was answered {reply.status}: {told.decode()[:300]}")
            time.sleep(float(reply.headers.get("Retry-After", 1)))


def play(world: World, client: Client, user: str, answers: int, seed: int, *, rates: bool) -> None:
    """Someone answers; again from the start after an interruption, and then nothing counts twice."""
    who = f"/v1/people/{user}"
    for number in range(answers):
        is_rating = rates and number % RATING_EVERY == RATING_EVERY - 1
        asked = client.send("POST", f"{who}/questions", {"kind": "rate" if is_rating else "nine"}, key=f"{number}")
        felt_M, rating_M = world.says(user, asked["items"], seed + number)
        if is_rating:
            said: dict[str, Any] = {"rating": float(rating_M[0])}
        else:
            best = int(felt_M.argmax())
            liked = not asked["none"] or rating_M[best] >= 4
            said = {"picked": [asked["items"][best]] if liked else []}
        client.send("POST", f"{who}/answers", {"question": asked["question"], "latency": 1.0, **said})


def all_play(
    world: World, connect: Callable[[], Client], users: Sequence[str], answers: int, seed: int, at_once: int,
    told: str, *, rates: bool = True, made: bool = False,
) -> None:  # fmt: skip
    """Many at once; with `made`, pictures are made for each at the end."""
    clients = threading.local()

    def visit(user: str) -> None:
        if not hasattr(clients, "own"):
            clients.own = connect()
        play(world, clients.own, user, answers, seed, rates=rates)
        if made:
            clients.own.send("GET", f"/v1/people/{user}/pictures")
        progress.advance(task)

    with Progress(console=Console(stderr=True), transient=True) as progress, ThreadPoolExecutor(at_once) as pool:
        task = progress.add_task(told, total=len(users))
        for done in [pool.submit(visit, user) for user in users]:
            done.result()
