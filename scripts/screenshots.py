"""Makes the pictures of the studio in the docs: Chromium visits a studio that this starts, answers, and photographs
its pages on a desk and on a phone.

    python scripts/screenshots.py                                      # all, of the last training run
    python scripts/screenshots.py --checkpoint runs/train/mine --only nine_desk made_desk roam_phone --out docs/images

The visitor likes red: of each nine pictures it picks the one with the most red in it.
"""

import argparse
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone is enough: nothing needs to be installed

from prefprior.errors import require_choice
from prefprior.studio.store.database import Database
from prefprior.studio.store.tokens import Tokens

try:
    from playwright.sync_api import Browser, Page, expect, sync_playwright
except ImportError:
    sys.exit("error: screenshots are made with Playwright: pip install playwright")

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
WINDOWS: Mapping[str, dict[str, Any]] = {
    "desk": {"viewport": {"width": 1280, "height": 800}},
    "phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
}
PAGES = ("nine", "roam", "made", "you", "admin")
NAMES = tuple(f"{page}_{window}" for window in WINDOWS for page in PAGES)
LARGEST = 150_000  # bytes of a picture
QUALITIES = (90, 80, 65, 50, 35)  # of WebP, until it is small enough
SECONDS = 600  # until the studio is ready, or a page
LOADED = "Promise.all([...document.images].filter(each => each.checkVisibility()).map(each => each.decode()))"


@dataclass(frozen=True)
class Studio:
    """One that runs, with a token for whoever runs it."""

    address: str
    token: str


@contextmanager
def studio(checkpoint: str | None, folder: Path, words: Sequence[str]) -> Iterator[Studio]:
    """A studio on a database of its own."""
    database = Database.open(f"sqlite:///{folder / 'studio.sqlite'}")
    token = Tokens(database).issue("screenshots", ["admin"], days=1)
    database.close()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    given = [f"run_dir={folder}", f"port={port}", "making.gallery=8", "rates.visitor=100000", *words]
    given += [] if checkpoint is None else [f"checkpoint={checkpoint}"]
    server = subprocess.Popen([sys.executable, str(ROOT / "serve.py"), *given])
    try:
        end = time.monotonic() + SECONDS
        while not _is_ready(port):
            if server.poll() is not None or time.monotonic() > end:
                sys.exit("error: the studio did not start: what it says stands above")
            time.sleep(0.5)
        yield Studio(f"http://127.0.0.1:{port}", token)
    finally:
        server.terminate()
        server.wait()


def _is_ready(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


class Window:
    """A window of Chromium, as large as that of a desk or a phone."""

    def __init__(self, browser: Browser, address: str, size: str) -> None:
        self.page: Page = browser.new_page(**WINDOWS[size])
        self.page.set_default_timeout(1000 * SECONDS)
        self.address, self.size = address, size

    def go(self, path: str) -> None:
        """Opens a page."""
        self.page.goto(self.address + path, wait_until="load")

    def start(self, answers: int) -> None:
        """Comes as a visitor, picks of nine, and waits for what is made."""
        self.go("/")
        self.page.get_by_role("button", name="Start").click()
        for count in range(1, answers + 1):
            expect(self.page.locator("#question.nine")).to_be_visible()
            shown = [str(each.get_attribute("src")) for each in self.page.locator("#question .pick img").all()]
            reds = [redness(self.page.request.get(self.address + source).body()) for source in shown]
            self.page.keyboard.press(str(1 + int(np.argmax(reds))))
            expect(self.page.locator("#count")).to_have_text(f"{count} answer{'' if count == 1 else 's'}")
            expect(self.page.locator("#question.busy")).to_have_count(0)
        self.wait_for_strip()

    def wait_for_strip(self) -> None:
        """Until it knows all answers."""
        expect(self.page.locator("#strip")).to_have_attribute("data-fresh", "yes")

    def show(self, page: str, studio: Studio) -> None:
        """A page with something on it."""
        if page == "admin":
            self.go("/admin")
            self.page.get_by_label("Token").fill(studio.token)
            self.page.get_by_role("button", name="Enter").click()
            expect(self.page.get_by_role("heading", name="Policies")).to_be_visible()
            return
        self.go({"nine": "/ask/nine", "roam": "/ask/roam"}.get(page, f"/{page}"))
        if page in ("nine", "roam"):
            self.wait_for_strip()
        elif page == "made":
            self.page.get_by_role("button", name="Make pictures").click()
            expect(self.page.locator("#gallery figure").first).to_be_visible()
            if self.size == "phone":
                self.page.locator("#gallery").evaluate("each => each.scrollIntoView({ behavior: 'instant' })")

    def report(self) -> None:
        """So that there is something to decide about."""
        self.page.get_by_text("Report a picture").click()
        self.page.get_by_role("button", name="Report it").click()
        expect(self.page.locator("#question details[open]")).to_have_count(0)

    def photograph(self) -> bytes:
        """The page as it is seen, on a desk all of it, once its pictures are there."""
        self.page.evaluate(LOADED)
        self.page.mouse.move(0, 0)
        return small(self.page.screenshot(animations="disabled", caret="hide", full_page=self.size == "desk"))


def redness(picture: bytes) -> float:
    """How much more red than green and blue there is in it."""
    red, green, blue = np.asarray(Image.open(BytesIO(picture)).convert("RGB"), dtype=np.float32).mean(axis=(0, 1))
    return float(red - (green + blue) / 2)


def small(png: bytes) -> bytes:
    """As WebP, of the best quality that is small enough."""
    picture, out = Image.open(BytesIO(png)).convert("RGB"), BytesIO()
    for quality in QUALITIES:
        out = BytesIO()
        picture.save(out, "WEBP", quality=quality, method=6)
        if out.tell() <= LARGEST:
            return out.getvalue()
    raise ValueError(f"a screenshot has {out.tell():,} bytes, and may have {LARGEST:,}: take a smaller window")


def photographs(browser: Browser, studio: Studio, names: Sequence[str], answers: int) -> Iterator[tuple[str, bytes]]:
    """Of each size of window, by one visitor."""
    for size in WINDOWS:
        wanted = [page for page in PAGES if f"{page}_{size}" in names]
        if not wanted:
            continue
        window = Window(browser, studio.address, size)
        window.start(answers)
        window.report()
        for page in wanted:
            window.show(page, studio)
            yield f"studio_{page}_{size}.webp", window.photograph()
        window.page.close()


def main(words: Sequence[str]) -> None:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", help="a run folder; by default the last training run")
    parser.add_argument("--out", type=Path, default=Path("runs/screenshots"), help="a folder for the pictures")
    parser.add_argument("--only", nargs="+", default=NAMES, metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--answers", type=int, default=12, help="that each visitor gives before")
    parser.add_argument("--words", nargs="+", default=[], help="further words for serve.py, such as 'axes=[darker]'")
    given = parser.parse_args(words)
    chromium = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    try:
        for name in given.only:
            require_choice("--only", name, NAMES)
    except ValueError as error:
        sys.exit(f"error: {error}")
    if given.answers < 1:
        parser.error(f"--answers must be at least 1, got {given.answers}")
    if chromium is None:
        sys.exit("error: there is no Chromium: apt-get install chromium")
    expect.set_options(timeout=1000 * SECONDS)
    with (
        tempfile.TemporaryDirectory() as folder,
        studio(given.checkpoint, Path(folder), given.words) as address,
        sync_playwright() as playwright,
    ):
        # A sandbox cannot be had by root, nor in most containers; the pages are ours.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        given.out.mkdir(parents=True, exist_ok=True)
        for name, content in photographs(browser, address, given.only, given.answers):
            (given.out / name).write_bytes(content)
            print(f"{given.out / name}: {len(content) / 1000:.0f} kB", flush=True)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
