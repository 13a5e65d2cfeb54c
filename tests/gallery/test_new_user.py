"""Ratings that a new user brings along: two folders, or a CSV."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from prefprior.gallery.new_user import NewUser, from_file, from_folders
from tests.data.test_pictures import turned


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "likes").mkdir()
    for name, colour in (("a.png", "red"), ("b.png", "blue")):
        Image.new("RGB", (8, 8), colour).save(tmp_path / "likes" / name)
    return tmp_path


def table(folder: Path, text: str) -> str:
    path = folder / "mine.csv"
    path.write_text(text)
    return str(path)


def test_pictures_of_a_folder_are_likes_and_the_first_is_the_most_recent(folder: Path) -> None:
    assert [(r.rating, r.age) for r in from_folders(str(folder / "likes"), None)] == [(1.0, 0), (1.0, 1)]


class Seen:
    """Remembers what it was given to embed."""

    space_name = "s"

    def encode_images(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        self.pictures = list(pictures)
        return torch.ones(len(pictures), 2)


def test_photos_are_rotated_by_exif_and_keep_their_tones(tmp_path: Path) -> None:
    (tmp_path / "likes").mkdir()
    (tmp_path / "likes" / "a.jpg").write_bytes(turned(6, "JPEG"))
    Image.fromarray(np.full((4, 4), 1 << 14, np.uint16)).save(tmp_path / "likes" / "b.png")
    encoder = Seen()
    rated = from_folders(str(tmp_path / "likes"), None)
    user = NewUser(name="me", rated=rated, encoder=encoder, space_name="s").gather(["me"])[0]
    assert encoder.pictures[0].size == (64, 32)
    assert encoder.pictures[1].getpixel((0, 0)) == (64, 64, 64)
    assert user.pictures is not None
    assert user.pictures.open(user.items[0]).size == (64, 32)  # as its gallery shows it


def test_a_missing_folder_is_named(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"dislikes=.*not a folder"):
        from_folders(None, str(folder / "nowhere"))


def test_a_picture_cannot_be_liked_and_disliked(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.png is given twice"):
        from_folders(str(folder / "likes"), str(folder / "likes"))


def test_ratings_are_scaled_to_minus_1_and_1_and_the_last_row_is_the_newest(folder: Path) -> None:
    found = from_file(table(folder, "picture,rating\nlikes/a.png,5\nlikes/b.png,1\n"))
    assert [(r.rating, r.age) for r in found] == [(1.0, 1), (-1.0, 0)]


def test_a_missing_picture_is_named_with_its_line(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"mine\.csv:3: .*c\.png does not exist"):
        from_file(table(folder, "picture,rating\nlikes/a.png,5\nlikes/c.png,1\n"))


def test_a_rating_that_is_not_a_number_is_named_with_its_line(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"mine\.csv:2: .*good"):
        from_file(table(folder, "picture,rating\nlikes/a.png,good\n"))


def test_an_empty_file_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"mine\.csv is empty"):
        from_file(table(folder, ""))
