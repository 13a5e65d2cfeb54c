"""Pictures from folders, tars and memory; the bad ones say why."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prefprior.data import pictures as module
from prefprior.data.pictures import (
    ArrayPictures,
    BadPictureError,
    BytesPictures,
    FolderPictures,
    Pictures,
)


def noise(seed: int = 0, size: int = 24) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8))


def data(picture: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    picture.save(file, kind)
    return file.getvalue()


def reason(content: bytes) -> str:
    with pytest.raises(BadPictureError) as error:
        BytesPictures({"x": content}).open("x")
    return str(error.value)


def test_bad_pictures_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = data(noise(), "JPEG")
    assert reason(whole[: len(whole) // 2]).startswith("truncated")
    assert reason(b"not a picture").startswith("unreadable")
    assert reason(b"").startswith("unreadable")
    frames = io.BytesIO()
    noise(1).save(frames, "GIF", save_all=True, append_images=[noise(2), noise(3)])
    assert reason(frames.getvalue()) == "animated: 3 frames"
    monkeypatch.setattr(module, "MAX_PIXELS", 500)
    assert reason(whole) == "huge: 24 x 24 pixels"


def test_every_mode_becomes_rgb() -> None:
    glass = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    for picture in (noise().convert("L"), noise().convert("P"), noise().convert("CMYK"), glass, noise().convert("1")):
        kind = "TIFF" if picture.mode == "CMYK" else "PNG"
        assert BytesPictures({"x": data(picture, kind)}).open("x").mode == "RGB"
    assert BytesPictures({"x": data(glass)}).open("x").getpixel((0, 0)) == (255, 255, 255)


def test_a_folder(tmp_path: Path) -> None:
    for name in ("a b.png", "deep/er/c.jpg", "D.JPEG"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        noise().save(tmp_path / name)
    (tmp_path / "notes.txt").touch()
    (tmp_path / ".hidden.png").touch()
    pictures = FolderPictures(tmp_path)
    assert isinstance(pictures, Pictures)
    assert pictures.ids == ["D.JPEG", "a b.png", "deep/er/c.jpg"]
    assert pictures.path("a b.png") == tmp_path / "a b.png"
    assert pictures.digest("D.JPEG") == pictures.digest("deep/er/c.jpg") != pictures.digest("a b.png")
    assert FolderPictures(tmp_path, suffix=False).ids == ["D", "a b", "deep/er/c"]
    noise().save(tmp_path / "a b.jpg")
    with pytest.raises(ValueError, match="both the picture 'a b'"):
        FolderPictures(tmp_path, suffix=False)
    with pytest.raises(BadPictureError, match="missing"):
        FolderPictures(tmp_path, ids=["gone.png"]).open("gone.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no pictures"):
        FolderPictures(tmp_path / "empty")


@pytest.mark.parametrize("item", ["../x.png", "/etc/passwd", "a/../../b.png", "a\\b.png", ""])
def test_ids_cannot_leave_the_folder(tmp_path: Path, item: str) -> None:
    with pytest.raises(ValueError, match="would leave the folder"):
        FolderPictures(tmp_path, ids=[item])


def test_arrays() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    pictures = ArrayPictures(["a", "b"], pixels)
    assert np.array_equal(np.asarray(pictures.open("b")), pixels[1])
    assert pictures.digest("a") != pictures.digest("b")
    with pytest.raises(ValueError, match="2 ids for 1"):
        ArrayPictures(["a", "b"], pixels[:1])
    with pytest.raises(ValueError, match="uint8"):
        ArrayPictures(["a"], pixels[:1].astype(np.float32))
