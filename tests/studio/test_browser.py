"""The studio in a real browser: answered by keyboard, loaded again, undone; nothing is asked of other hosts."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import select

from prefprior.studio.service import Studio
from prefprior.studio.store.database import Database
from prefprior.studio.store.studies import Studies
from prefprior.studio.store.tables import TriedRow
from prefprior.studio.web.app import create_app
from tests.browser import DESK, PHONE, started
from tests.studio.small import LEVELS, MANY
from tests.studio.studying import ARMS, OfModel, opened

pytestmark = pytest.mark.browser
expect.set_options(timeout=60_000)  # the threads that make pictures leave the processor to everybody else


@pytest.fixture
def address(studio: Studio) -> Iterator[str]:
    with served_at(studio) as found:
        yield found


@contextmanager
def served_at(studio: Studio) -> Iterator[str]:
    """A server on a port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(create_app(studio, rates=MANY), log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started() as browser:
        yield browser


class Window:
    """A page, and what went wrong or left the host in it."""

    def __init__(self, browser: Browser, address: str, width: int = DESK) -> None:
        self.page: Page = browser.new_page(viewport={"width": width, "height": 900}, accept_downloads=True)
        self.address, self.complaints = address, list[str]()
        self.page.on("console", lambda message: self.complaints.append(f"{message.text} {message.location}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._look(request.url, address))
        self.page.goto(address)
        self.page.get_by_role("button", name="Start").click()
        self.loaded("nine")

    def go(self, name: str, mode: str) -> None:
        """Follows a link to a page of questions."""
        self.page.get_by_role("link", name=name).click()
        self.loaded(mode)

    def loaded(self, mode: str) -> None:
        """Waits for a page, and its script."""
        expect(self.page.locator(f"#question.{mode}")).to_be_visible()
        self.page.wait_for_load_state("load")

    def _look(self, url: str, address: str) -> None:
        if not url.startswith(address):
            self.complaints.append(f"asked elsewhere: {url}")

    def press(self, key: str, answers: int) -> None:
        """Presses a key, after which there are so many answers."""
        self.page.keyboard.press(key)
        expect(self.page.locator("#count")).to_have_text(f"{answers} answer{'' if answers == 1 else 's'}")
        expect(self.page.locator("#question.busy")).to_have_count(0)

    def shown(self) -> list[str | None]:
        """The pictures of the question."""
        return [each.get_attribute("src") for each in self.page.locator("#question img").all()]

    def made(self) -> list[str | None]:
        """The strip, once it knows all answers."""
        expect(self.page.locator("#strip")).to_have_attribute("data-fresh", "yes")
        return [each.get_attribute("src") for each in self.page.locator("#strip img").all()]


@pytest.fixture(params=[DESK, PHONE], ids=["desk", "phone"])
def window(request: pytest.FixtureRequest, browser: Browser, address: str) -> Iterator[Window]:
    opened = Window(browser, address, request.param)
    yield opened
    opened.page.close()
    assert opened.complaints == []


@pytest.mark.parametrize("width", [DESK, PHONE], ids=["desk", "phone"])
def test_made_pictures_are_liked_in_a_study(browser: Browser, served: Database, of_model: OfModel, width: int) -> None:
    studies = Studies(served)
    study = studies.open(ARMS, LEVELS.raw)
    with opened(served, of_model, study) as studio, served_at(studio) as address:
        window = Window(browser, address, width)
        window.press("1", 1)
        names = window.made()
        hearts = window.page.get_by_role("button", name="I like this, ")
        third = window.page.get_by_role("button", name=f"I like this, 3 of {len(names)}")
        third.focus()
        for key, pressed in (("Enter", "true"), ("Space", "false"), ("Space", "true")):
            window.page.keyboard.press(key)
            expect(third).to_have_attribute("aria-pressed", pressed)
        expect(third).to_be_focused()
        hearts.first.click()
        expect(hearts.first).to_have_attribute("aria-pressed", "true")
        window.page.reload()
        assert window.made() == names
        assert [each.get_attribute("aria-pressed") for each in hearts.all()] == ["true", "false", "true", "false"]
        for heart, picture in zip(hearts.all(), window.page.locator("#strip img").all(), strict=True):
            button, seen = heart.bounding_box(), picture.bounding_box()
            assert button is not None
            assert seen is not None
            assert 4 * button["width"] * button["height"] < seen["width"] * seen["height"], "most of it can be seen"
        assert window.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        window.page.close()
        assert window.complaints == []
        with served.reading() as session:
            liked = session.scalars(select(TriedRow.place).where(TriedRow.liked_at.is_not(None))).all()
        assert sorted(liked) == [0, 2]


def test_a_heart_that_is_clicked_twice_at_once_shows_what_is_kept(
    browser: Browser, served: Database, of_model: OfModel
) -> None:
    study = Studies(served).open(ARMS, LEVELS.raw)
    with opened(served, of_model, study) as studio, served_at(studio) as address:
        window = Window(browser, address, DESK)
        window.press("1", 1)
        window.made()
        first = window.page.get_by_role("button", name="I like this, 1 of ")
        first.evaluate("each => { each.click(); each.click(); }")
        window.page.wait_for_load_state("networkidle")
        expect(window.page.locator("#strip [aria-busy]")).to_have_count(0)
        shown = first.get_attribute("aria-pressed")
        window.page.reload()
        assert shown == first.get_attribute("aria-pressed") == "true"
        window.page.close()
        assert window.complaints == []


def test_twenty_grids_by_keyboard_a_reload_and_undo(window: Window) -> None:
    before = window.made()
    for answers, key in enumerate("1203456789" * 2, start=1):
        last = window.shown()
        window.press(key, answers)
        assert not set(window.shown()) & set(last), "nothing is shown twice"
    after, question = window.made(), window.shown()
    assert after != before
    window.page.reload()
    expect(window.page.locator("#count")).to_have_text("20 answers")
    assert (window.made(), window.shown()) == (after, question)
    window.press("u", 19)
    assert window.shown() == last
    assert window.made() != after


def test_pairs_and_ratings_by_keyboard(window: Window) -> None:
    window.go("Pair", "pair")
    window.press("ArrowLeft", 1)
    window.press("ArrowRight", 2)
    window.go("Rate", "rate")
    window.press("5", 3)
    window.press("u", 2)


def test_the_page_fits_its_window(window: Window) -> None:
    window.made()
    for path in ("/ask/nine", "/ask/pair", "/ask/rate", "/you"):
        window.page.goto(window.address + path)
        assert window.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


def test_every_picture_and_button_has_a_name(window: Window) -> None:
    window.made()
    assert window.page.locator("img:not([alt]), img[alt='']").count() == 0
    for button in window.page.get_by_role("button").all():
        assert (button.get_attribute("aria-label") or button.inner_text()).strip() or button.locator("img[alt]").count()


def test_focus_can_be_seen(window: Window) -> None:
    window.made()
    window.page.keyboard.press("Tab")
    for _ in range(8):
        window.page.keyboard.press("Tab")
        style = window.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert style != "none"


def test_profiles_export_and_deletion(window: Window) -> None:
    window.press("1", 1)
    window.page.get_by_role("link", name="My taste").click()
    window.page.get_by_label("New profile").fill("Work")
    window.page.get_by_role("button", name="Add").click()
    expect(window.page.locator("#count")).to_have_text("0 answers")
    window.page.get_by_role("link", name="Work").click()
    window.page.get_by_label("Start over with My taste").click()
    window.page.get_by_role("button", name="Delete 1 answer").click()
    window.loaded("nine")
    expect(window.page.locator("#count")).to_have_text("0 answers")
    window.page.get_by_role("link", name="My taste").click()
    with window.page.expect_download() as download:
        window.page.get_by_role("link", name="Export").click()
    assert download.value.suggested_filename == "my-studio-data.zip"
    window.page.get_by_label("Yes, delete").check()
    window.page.locator(".delete button").click()
    expect(window.page.get_by_role("button", name="Start")).to_be_visible()
