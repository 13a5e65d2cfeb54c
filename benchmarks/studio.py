"""How long visitors of the studio wait, when many of them answer at once: `python serve.py` and its visitors, side by
side on this machine.

    python benchmarks/studio.py                          # the last training run; 100 visitors for a minute
    python benchmarks/studio.py --checkpoint runs/train/mine --seconds 600
    python benchmarks/studio.py --database postgresql+psycopg://studio@localhost/empty

Each visitor answers once in `--every` seconds, as the page's script does, and is followed by another one after
`--answers` answers. First they only answer; then they load each question's pictures too; then fewer of them also have
pictures made after each answer. Waits are from an answer to the next question, or to the pictures. Memory is that of
the server in the second tenth of the time and in the last. Seconds of the processor are divided by answers. At last
platforms send batches of events, as fast as they are taken.
"""

import argparse
import os
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from email.message import Message as HTTPMessage
from html import unescape
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from event_load import EventLoad
from rich.console import Console
from rich.table import Table
from side_by_side import report

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 30.0  # seconds after the end in which what was begun may still be answered
FIELD = re.compile(r'name="(csrf|question|seen_at)" value="([^"]*)"')
PICTURE = re.compile(r'src="(/items/[^"]+)"')
RATES = ("rates.visitor=1000000", "rates.arrivals=1000000", "rates.token=1000000")
LOADS = ("answers", "pictures", "strips", "events")
TICKS = os.sysconf("SC_CLK_TCK")


class Server:
    """The studio in a process of its own, on a port and a database of its own."""

    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.database = args.database or f"sqlite:///{folder / 'studio' / 'studio.sqlite'}"
        words = [f"run_dir={folder / 'studio'}", f"port={self.port}", *RATES, *args.words]
        if args.checkpoint is not None:
            words.append(f"checkpoint={args.checkpoint}")
        words.append(f"database={self.database}")
        self._process = subprocess.Popen([sys.executable, str(ROOT / "serve.py"), *words])

    def wait(self) -> None:
        """Until it is ready."""
        while self._process.poll() is None:
            try:
                if Browser(self.port).request("GET", "/readyz")[0] == 200:
                    return
            except OSError:
                time.sleep(0.5)
        raise SystemExit("the studio did not start")

    @property
    def megabytes(self) -> float:
        """Resident memory, with that of the process that looks."""
        statuses = [Path(f"/proc/{pid}/status").read_text() for pid in self._pids()]
        return sum(int(found) for status in statuses for found in re.findall(r"VmRSS:\s+(\d+) kB", status)) / 1024

    @property
    def seconds(self) -> float:
        """Of the processor, with those of the process that looks."""
        fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in self._pids()]
        return sum(int(each[11]) + int(each[12]) for each in fields) / TICKS

    def _pids(self) -> list[int]:
        own = self._process.pid
        children = [path.read_text().split() for path in Path(f"/proc/{own}/task").glob("*/children")]
        return [own, *(int(pid) for some in children for pid in some)]

    def end(self) -> None:
        """Stops it in order."""
        self._process.terminate()
        self._process.wait()


class Browser:
    """A connection and a cookie. Less than a client's library does: it shares the machine with what it measures."""

    def __init__(self, port: int, cookie: str = "") -> None:
        self._port, self._cookie = port, cookie
        self._connection = HTTPConnection("127.0.0.1", port, timeout=120)

    def again(self) -> "Browser":
        """Another connection of the same visitor."""
        return Browser(self._port, self._cookie)

    def request(self, method: str, path: str, form: dict[str, str] | None = None) -> tuple[int, bytes, HTTPMessage]:
        """Status, body and headers."""
        headers = {"Cookie": self._cookie, "X-Fragment": "1"}
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        self._connection.request(method, path, None if form is None else urlencode(form), headers)
        response = self._connection.getresponse()
        if cookie := response.headers["set-cookie"]:
            self._cookie = cookie.partition(";")[0]
        return response.status, response.read(), response.headers


@dataclass
class Load:
    """Visitors at once, and what they saw."""

    name: str
    visitors: int
    pictures: bool = False
    strips: bool = False
    waits: list[float] = field(default_factory=list)  # from an answer to the next question
    made: list[float] = field(default_factory=list)  # from an answer to its pictures
    busy: int = 0  # told to come back later
    errors: Counter[str] = field(default_factory=Counter)
    until: float = 0.0  # when a busy studio is asked no more

    def run(self, server: Server, args: argparse.Namespace) -> dict[str, Any]:
        """The figures."""
        end, began, ours = time.monotonic() + args.seconds, server.seconds, time.process_time()
        delays, memory = random.Random(0), list[float]()
        self.until = end + PATIENCE
        visitors = [
            threading.Thread(target=self._visitors, args=(server, args, number, delays.uniform(0, args.every), end))
            for number in range(self.visitors)
        ]
        for visitor in visitors:
            visitor.start()
        while time.monotonic() < end:
            memory.append(server.megabytes)
            time.sleep(args.seconds / 50)
        for visitor in visitors:
            visitor.join()
        tenth, answers = max(len(memory) // 10, 1), max(len(self.waits), 1)
        figures = {
            "answers": len(self.waits), "errors": sum(self.errors.values()), "busy": self.busy,
            **_quantiles("", self.waits),
            "server cpu ms": 1000 * (server.seconds - began) / answers,
            "visitors cpu ms": 1000 * (time.process_time() - ours) / answers,
            "MB early": statistics.median(memory[tenth : 2 * tenth]), "MB late": statistics.median(memory[-tenth:]),
        }  # fmt: skip
        if self.strips:
            figures |= {"strips": len(self.made), **_quantiles("strip ", self.made)}
        return figures | ({"errors by kind": dict(self.errors)} if self.errors else {})

    def _visitors(self, server: Server, args: argparse.Namespace, number: int, delay: float, end: float) -> None:
        """One after the other, until the end."""
        draws = random.Random(number)
        time.sleep(delay)
        while time.monotonic() < end:
            try:
                self._visit(Browser(server.port), args, draws, end)
            except (OSError, HTTPException, KeyError) as error:
                self.errors[type(error).__name__] += 1
                time.sleep(args.every)

    def _visit(self, browser: Browser, args: argparse.Namespace, draws: random.Random, end: float) -> None:
        self._sent(browser, "/start", {"start": "yes"}, 303)
        text, due, path = browser.request("GET", f"/ask/{args.page}")[1].decode(), time.monotonic(), f"/ask/{args.page}"
        making: threading.Thread | None = None
        for _ in range(args.answers):
            due += args.every
            for picture in PICTURE.findall(text) if self.pictures else ():
                status = browser.request("GET", picture)[0]
                if status != 200:
                    self.errors[f"picture {status}"] += 1
            time.sleep(max(due - time.monotonic(), 0))
            began = time.monotonic()
            if began >= end:
                break
            fields = {name: unescape(value) for name, value in FIELD.findall(text)}
            answer = str(draws.randint(1, args.places))
            found = self._sent(browser, path, fields | {"answer": answer}, 200)
            if found is None:
                return
            self.waits.append(time.monotonic() - began)
            text = found.decode()
            if self.strips and (making is None or not making.is_alive()):  # one at a time
                making = threading.Thread(target=self._strip, args=(browser.again(), fields["csrf"], began))
                making.start()
        if making is not None:
            making.join()

    def _sent(self, browser: Browser, path: str, form: dict[str, str], expected: int) -> bytes | None:
        """What a form gets; a busy studio is asked again, as the page's script does."""
        while True:
            status, body, headers = browser.request("POST", path, form)
            if status != 503:
                break
            self.busy += 1
            if time.monotonic() > self.until:
                self.errors[f"{path} still busy"] += 1
                return None
            time.sleep(float(headers["retry-after"]))
        if status == expected:
            return body
        self.errors[f"{path} {status}"] += 1
        return None

    def _strip(self, browser: Browser, csrf: str, began: float) -> None:
        if self._sent(browser, "/strip", {"csrf": csrf}, 200) is not None:
            self.made.append(time.monotonic() - began)


def _quantiles(name: str, seconds: list[float]) -> dict[str, float]:
    if not seconds:
        return {}
    ordered = sorted(seconds)
    return {
        f"{name}p50 ms": 1000 * ordered[len(ordered) // 2],
        f"{name}p95 ms": 1000 * ordered[len(ordered) * 95 // 100],
    }


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:,.0f}" if isinstance(value, float | int) else str(value)


def main() -> None:
    """Runs the loads one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default=None, help="a run folder; default: the last training run")
    parser.add_argument("--database", default=None, help="an empty one; default: SQLite in a temporary folder")
    parser.add_argument("--seconds", type=float, default=60, help="of each load")
    parser.add_argument("--visitors", type=int, default=100)
    parser.add_argument("--strips", type=int, default=20, help="visitors for whom pictures are made")
    parser.add_argument("--senders", type=int, default=4, help="platforms that send batches of events")
    parser.add_argument("--every", type=float, default=2.0, help="seconds between a visitor's answers")
    parser.add_argument("--answers", type=int, default=50, help="answers of a visitor")
    parser.add_argument("--page", default="nine", choices=["nine", "pair"])
    parser.add_argument("--only", choices=LOADS, nargs="+", help="these loads alone")
    parser.add_argument("--json", type=Path, default=None, help="also write the figures to this file")
    parser.add_argument("words", nargs="*", help="further words for serve.py: policy@nine=eubo")
    args = parser.parse_args()
    args.places = {"nine": 9, "pair": 2}[args.page]
    loads = [
        Load("answers", args.visitors), Load("pictures", args.visitors, pictures=True),
        Load("strips", args.strips, strips=True), EventLoad("events", args.senders),
    ]  # fmt: skip
    figures: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        server = Server(args, Path(folder))
        try:
            server.wait()
            for load in loads:
                if args.only is None or load.name in args.only:
                    figures[f"{load.name}, {load.visitors} at once"] = load.run(server, args)
        finally:
            server.end()
    table = Table("")
    for name in figures:
        table.add_column(name, justify="right")
    for row in dict.fromkeys(name for each in figures.values() for name in each):
        table.add_row(row, *(_cell(each.get(row)) for each in figures.values()))
    Console().print(table)
    report(args, {"figures": figures, "processors": os.cpu_count()})


if __name__ == "__main__":
    main()
