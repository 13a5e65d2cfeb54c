"""What people look at, in a real browser: a gallery's index, a person's page and the evaluation's report."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import PHONE, Visitor, started
from tests.commands import run
from tests.small_run import QUIET, make_run

pytestmark = pytest.mark.browser
PAGES = ("index", "person", "report")
PER_PAGE = 48  # people on one page of the index


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A gallery of sixty people, more than one page of the index holds, and a report of the same prior."""
    folder = make_run(tmp_path_factory.mktemp("pages"))
    few = ("scoreboard.lengths=[2,null]", "scoreboard.samples=3", "scoreboard.controls=[permuted]")
    with pytest.MonkeyPatch.context() as patch:
        run(patch, folder, "sample", "run_dir=runs/sample/pages", "users=all", "people=null", "n=2", "history=4", QUIET)
        run(patch, folder, "evaluate", "run_dir=runs/evaluate/pages", "predictors=[prior,mean,random]", *few)
    gallery = folder / "runs/sample/pages/gallery"
    return {
        "index": gallery / "index.html",
        "person": sorted((gallery / "people").glob("*/index.html"))[1],
        "report": folder / "runs/evaluate/pages/report.html",
    }


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started() as browser:
        yield browser


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Visitor]:
    visitor = Visitor(browser)
    yield visitor
    for context in browser.contexts:
        context.close()


@pytest.fixture
def index(visitor: Visitor, pages: dict[str, Path]) -> Page:
    return visitor.open(pages["index"])


def names(index: Page) -> list[str]:
    """Who is shown, in order."""
    return index.locator("#grid .name span:first-child").all_text_contents()


def column(index: Page, key: str) -> dict[str, float]:
    """A figure of everybody, by name."""
    columns = index.evaluate("window.PEOPLE.columns")
    return dict(zip(columns["name"], columns[key], strict=True))


@pytest.mark.parametrize("name", PAGES)
def test_a_page_loads_without_console_messages(visitor: Visitor, pages: dict[str, Path], name: str) -> None:
    visitor.open(pages[name])
    assert not visitor.complaints


@pytest.mark.parametrize("name", PAGES)
def test_a_page_loads_nothing_from_outside_its_folder(visitor: Visitor, pages: dict[str, Path], name: str) -> None:
    page = visitor.open(pages[name])
    page.mouse.wheel(0, 5000)  # what loads lazily
    page.wait_for_load_state("networkidle")
    root = pages["report" if name == "report" else "index"].parent.as_uri()
    assert not [url for url in visitor.requests if not url.startswith((root, "data:"))]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_a_phone(visitor: Visitor, pages: dict[str, Path], name: str) -> None:
    page = visitor.open(pages[name], PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE


@pytest.mark.parametrize("name", ["index", "person"])
def test_every_picture_loads(visitor: Visitor, pages: dict[str, Path], name: str) -> None:
    page = visitor.open(pages[name])
    for picture in page.locator("main img").all():
        picture.scroll_into_view_if_needed()
    page.wait_for_load_state("networkidle")
    broken = "() => [...document.querySelectorAll('main img')].filter(i => !i.naturalWidth).map(i => i.src)"
    assert page.evaluate(broken) == []


def test_the_index_can_be_searched_by_name(index: Page) -> None:
    index.fill("#find", "u07")
    assert names(index) == ["u07"]


def test_the_index_reports_that_no_user_matches(index: Page) -> None:
    index.fill("#find", "nobody")
    expect(index.locator("#none")).to_be_visible()


@pytest.mark.parametrize("key", ["better_than", "diversity"])
def test_the_index_sorts_by_a_metric_best_first(index: Page, key: str) -> None:
    index.select_option("#sort", key)
    figures = column(index, key)
    assert [figures[name] for name in names(index)] == sorted(figures.values(), reverse=True)[:PER_PAGE]


def test_the_index_sorts_by_name(index: Page) -> None:
    index.select_option("#sort", "name")
    assert names(index) == sorted(column(index, "diversity"))[:PER_PAGE]


def test_arrow_keys_turn_the_pages_of_the_index(index: Page) -> None:
    first, everybody = names(index), set(column(index, "diversity"))
    index.keyboard.press("ArrowRight")
    assert set(names(index)) == everybody - set(first)
    index.keyboard.press("ArrowLeft")
    assert names(index) == first


def test_a_search_is_kept_in_the_url(index: Page) -> None:
    index.fill("#find", "u1")
    shown = names(index)
    index.reload()
    assert names(index) == shown


def test_a_card_links_to_its_user(index: Page) -> None:
    name = names(index)[3]
    index.locator("#grid a").nth(3).click()
    expect(index.locator("h1")).to_have_text(name)


def test_a_picture_is_enlarged_and_closed_again(visitor: Visitor, pages: dict[str, Path]) -> None:
    page = visitor.open(pages["person"])
    page.locator(".open").first.click()
    large = page.locator("#large")
    expect(large.locator("#words")).to_contain_text("Picture 1 of 2")
    page.keyboard.press("ArrowRight")
    expect(large.locator("#words")).to_contain_text("Picture 2 of 2")
    page.keyboard.press("Escape")
    expect(large).not_to_be_visible()


def test_arrow_keys_go_to_the_next_user(visitor: Visitor, pages: dict[str, Path]) -> None:
    page = visitor.open(pages["person"])
    name, after = page.locator("h1").inner_text(), page.locator("a[rel=next]").get_attribute("aria-label")
    page.keyboard.press("ArrowRight")
    expect(page.locator("h1")).not_to_have_text(name)
    assert after == f"Next user: {page.locator('h1').inner_text()}"


def test_the_theme_is_switched(visitor: Visitor, pages: dict[str, Path]) -> None:
    page = visitor.open(pages["person"])
    background = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(background)
    page.click("#theme")
    assert page.evaluate(background) != before
