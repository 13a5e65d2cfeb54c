"""Ratings that a new user brings along: two folders, or a CSV."""

from pathlib import Path

import pytest
from PIL import Image

from prefprior.gallery.new_user import from_file, from_folders


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "likes").mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / "likes" / name)
    return tmp_path


def table(folder: Path, text: str) -> str:
    path = folder / "mine.csv"
    path.write_text(text)
    return str(path)


def test_pictures_of_a_folder_are_loved_the_first_most_recently(folder: Path) -> None:
    assert [(r.rating, r.age) for r in from_folders(str(folder / "likes"), None)] == [(1.0, 0), (1.0, 1)]


def test_a_missing_folder_is_named(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"dislikes=.*not a folder"):
        from_folders(None, str(folder / "nowhere"))


def test_a_picture_cannot_be_liked_and_disliked(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.png is given twice"):
        from_folders(str(folder / "likes"), str(folder / "likes"))


def test_the_ends_of_a_scale_are_1_and_the_last_row_is_the_newest(folder: Path) -> None:
    found = from_file(table(folder, "picture,rating\nlikes/a.png,5\nlikes/b.png,1\n"))
    assert [(r.rating, r.age) for r in found] == [(1.0, 1), (-1.0, 0)]


def test_a_missing_picture_is_named_with_its_line(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"mine\.csv:3: there is no file .*c\.png"):
        from_file(table(folder, "picture,rating\nlikes/a.png,5\nlikes/c.png,1\n"))


def test_a_rating_that_is_no_number_is_named_with_its_line(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"mine\.csv:2: .*good"):
        from_file(table(folder, "picture,rating\nlikes/a.png,good\n"))


def test_an_empty_file_says_so(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"mine\.csv is empty"):
        from_file(table(folder, ""))
