"""Pages in a real browser: Chromium, driven by Playwright, which looks on for errors and for requests that leave."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
PHONE, DESK = 390, 1280


def require_browser() -> str:
    """The browser's path. Without one the test is skipped, but on a CI server it fails: there nothing may be skipped
    for want of an install."""
    for name in NAMES:
        if found := shutil.which(name):
            return found
    if os.environ.get("CI"):
        pytest.fail("there is no Chromium, and CI=true: .ci/run installs it")
    pytest.skip("needs Chromium: apt-get install chromium")


@contextmanager
def started() -> Iterator[Browser]:
    """A browser for a few tests; Playwright's loop would be in the way of what runs a loop of its own."""
    with sync_playwright() as playwright:
        # A sandbox cannot be had by root, nor in most containers; the pages are ours.
        browser = playwright.chromium.launch(executable_path=require_browser(), args=["--no-sandbox"])
        yield browser
        browser.close()


class Visitor:
    """Opens pages from files, and notes what they say to the console and ask for."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self.complaints: list[str] = []
        self.requests: list[str] = []

    def open(self, file: Path, width: int = DESK) -> Page:
        """A page in a window of its own, loaded."""
        page = self._browser.new_page(viewport={"width": width, "height": 900})
        page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("requestfailed", lambda request: self.complaints.append(f"failed: {request.url}"))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(file.resolve().as_uri(), wait_until="load")
        return page
