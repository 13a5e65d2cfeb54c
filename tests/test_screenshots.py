"""scripts/screenshots.py: pictures of the studio's pages for the docs."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts import screenshots
from tests.browser import require_browser
from tests.small_run import make_run

SMALL = ("tastes=8", "imagined=2", "reference=16", "calibrate_shown=2", "moves.below=0", "candidates=48", "making.n=2")


def png(pixels: np.ndarray) -> bytes:
    out = BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def test_a_picture_is_as_good_as_its_size_allows() -> None:
    plain, noise = np.full((860, 1280, 3), 200, np.uint8), np.random.default_rng(0).integers(0, 255, (400, 400, 3))
    for pixels in (plain, noise.astype(np.uint8)):
        made = screenshots.small(png(pixels))
        assert len(made) <= screenshots.LARGEST
        assert Image.open(BytesIO(made)).size == pixels.shape[1::-1]
    with pytest.raises(ValueError, match=r"may have 150,000: take a smaller window"):
        screenshots.small(png(np.tile(noise, (3, 3, 1)).astype(np.uint8)))


def test_red_pictures_are_the_reddest() -> None:
    pixels = np.zeros((3, 8, 8, 3), np.uint8)
    pixels[0, ..., 0], pixels[1], pixels[2, ..., 2] = 200, 255, 200
    assert np.argmax([screenshots.redness(png(each)) for each in pixels]) == 0


@pytest.mark.browser
def test_pages_are_photographed_on_a_desk_and_on_a_phone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    require_browser()
    monkeypatch.chdir(make_run(tmp_path))
    names = [f"{page}_phone" for page in screenshots.PAGES] + ["made_desk"]
    screenshots.main(["--out", "shots", "--answers", "2", "--only", *names, "--words", *SMALL])
    assert {path.name for path in Path("shots").iterdir()} == {f"studio_{name}.webp" for name in names}
    said = capsys.readouterr().out
    for path in Path("shots").iterdir():
        assert f"{path}: {path.stat().st_size / 1000:.0f} kB\n" in said
        picture = Image.open(path)
        assert picture.width == (390 if path.stem.endswith("phone") else 1280)
        assert np.asarray(picture.convert("L")).std() > 5, "something is seen"
    assert not Path("runs/serve").exists(), "the database was for this alone"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "nine_desc"], "did you mean nine_desk?"),
        (["--answers", "0"], "--answers must be at least 1, got 0"),
    ],
)
def test_what_makes_no_sense_is_refused(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        screenshots.main(words)
    assert message in f"{ended.value} {capsys.readouterr().err}"


def test_a_studio_that_does_not_start_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="the studio did not start"), screenshots.studio(None, tmp_path, []):
        pass
