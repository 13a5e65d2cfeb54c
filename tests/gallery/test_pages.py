"""Pages of a gallery: they escape names and link to nothing outside their folder. (Browser: tests/test_pages.py.)"""

import re
from pathlib import Path

from prefprior.gallery.manifest import begin, user_folder
from prefprior.gallery.pages import write_pages
from tests.gallery.tiny import SETTINGS, TinyUsers, maker


def test_a_page_shows_its_replay_command(tmp_path: Path) -> None:
    users = TinyUsers(1)
    maker(tmp_path, users).make(users.names)
    write_pages(tmp_path, users.names, "Galleries", SETTINGS)
    folder = user_folder(tmp_path, "Person 0")
    assert f"python sample.py manifest=people/{folder.name}/manifest.json" in (folder / "index.html").read_text()


def test_pages_escape_names_and_settings(tmp_path: Path) -> None:
    users = TinyUsers(1)
    users.names = ['<script>alert("x")</script>']
    maker(tmp_path, users).make(users.names)
    index = write_pages(tmp_path, users.names, "A & B", SETTINGS)
    page = (user_folder(tmp_path, users.names[0]) / "index.html").read_text()
    assert "<script>alert" not in page
    assert "A &amp; B" in index.read_text()
    assert "</script>" not in (tmp_path / "people.js").read_text()


def test_pages_load_nothing_from_outside_their_folder(tmp_path: Path) -> None:
    users = TinyUsers(3)
    begin(tmp_path, SETTINGS)
    maker(tmp_path, users).make(users.names)
    write_pages(tmp_path, users.names, "Galleries", SETTINGS)
    for page in tmp_path.rglob("*.html"):
        text = page.read_text()
        assert "http" not in re.sub(r"https?-equiv", "", text)
        for link in re.findall(r'(?:href|src|data-full)="([^"]*)"', text):
            if not link.startswith(("data:", "#")):
                assert (page.parent / link).resolve().is_relative_to(tmp_path.resolve())
                assert (page.parent / link).is_file(), link
        assert len(re.findall(r"<img ", text)) == len(re.findall(r"<img [^>]*alt=", text))
