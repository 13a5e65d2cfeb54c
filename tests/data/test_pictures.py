"""Pictures from folders, tars and memory; the bad ones say why."""

import io
import os
import socket
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prefprior.data import decoding
from prefprior.data.decoding import BadPictureError, as_rgb
from prefprior.data.pictures import (
    ArrayPictures,
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


def test_invalid_pictures_are_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = data(noise(), "JPEG")
    assert reason(whole[: len(whole) // 2]).startswith("truncated")
    assert reason(b"not a picture").startswith("unreadable")
    assert reason(b"").startswith("unreadable")
    frames = io.BytesIO()
    noise(1).save(frames, "GIF", save_all=True, append_images=[noise(2), noise(3)])
    assert reason(frames.getvalue()) == "animated: 3 frames"
    monkeypatch.setattr(decoding, "MAX_PIXELS", 500)
    assert reason(whole) == "huge: 24 x 24 pixels"


def test_every_mode_becomes_rgb() -> None:
    glass = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    for picture in (noise().convert("L"), noise().convert("P"), noise().convert("CMYK"), glass, noise().convert("1")):
        kind = "TIFF" if picture.mode == "CMYK" else "PNG"
        assert BytesPictures({"x": data(picture, kind)}).open("x").mode == "RGB"
    assert BytesPictures({"x": data(glass)}).open("x").getpixel((0, 0)) == (255, 255, 255)


def opened(content: bytes) -> np.ndarray:
    return np.asarray(BytesPictures({"x": content}).open("x"))


RAMP_HW = np.linspace(0, 1, 256).reshape(16, 16)  # every grey of 8 bits, from black to white


def wide(values: np.ndarray, kind: str, **tags: object) -> bytes:
    return data(Image.fromarray(values), kind) if not tags else tagged(Image.fromarray(values), tags)


def tagged(picture: Image.Image, tags: dict[str, object]) -> bytes:
    file = io.BytesIO()
    picture.save(file, "TIFF", tiffinfo={int(tag[1:]): value for tag, value in tags.items()})
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        wide(np.rint(RAMP_HW * 65535).astype(np.uint16), "PNG"),
        wide(np.rint(RAMP_HW * 65535).astype(np.uint16), "TIFF"),
        wide(np.rint(RAMP_HW * 65535).astype(np.uint16).astype(">u2"), "TIFF"),
        wide(np.rint(RAMP_HW * 65535).astype(np.int32), "TIFF"),
        wide(np.rint(RAMP_HW * 255).astype(np.int32), "TIFF"),
        wide(RAMP_HW.astype(np.float32), "TIFF"),
        wide((RAMP_HW * 255).astype(np.float32), "TIFF"),
        wide((RAMP_HW * 65535).astype(np.float32), "TIFF"),
        wide(np.rint((1 - RAMP_HW) * 65535).astype(np.uint16), "TIFF", t262=0),
    ],
    ids=[
        "16 bit PNG",
        "16 bit TIFF",
        "big-endian",
        "32 bit",
        "8 in 32 bit",
        "0 to 1",
        "to 255",
        "to 65535",
        "0 is white",
    ],
)
def test_greyscale_above_8_bits_keeps_its_tones(content: bytes) -> None:
    seen_HWC = opened(content).astype(int)
    assert np.abs(seen_HWC - np.rint(RAMP_HW * 255).astype(int)[..., None]).max() <= 1


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (np.full((4, 4), np.nan, np.float32), "NaN or infinity"),
        (np.full((4, 4), -1, np.float32), r"below 0 \(down to -1\)"),
        (np.full((4, 4), -70, np.int32), r"below 0 \(down to -70\)"),
        (np.full((4, 4), 3.5, np.float32), "its values reach 3.5"),
        (np.full((4, 4), 1e9, np.float32), "its values reach 1e\\+09"),
        (np.full((4, 4), 300, np.int32), "its values reach 300"),
    ],
)
def test_pixel_values_of_unknown_range_are_refused(values: np.ndarray, why: str) -> None:
    with pytest.raises(BadPictureError, match=why):
        opened(wide(values, "TIFF"))


def test_transparent_greyscale_is_composited_on_white() -> None:
    for mode, colour in (("LA", (0, 0)), ("La", (0, 0)), ("RGBa", (0, 0, 0, 0)), ("PA", (0, 0))):
        assert as_rgb(Image.new(mode, (4, 4), colour)).getpixel((0, 0)) == (255, 255, 255)


def turned(orientation: int, kind: str) -> bytes:
    """Red above, blue below, as it is stored by a camera that was held so."""
    seen = Image.new("RGB", (64, 32), (220, 10, 10))
    seen.paste((10, 10, 220), (0, 16, 64, 32))
    back = {
        1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
    }[orientation]  # fmt: skip
    stored = seen if back is None else seen.transpose(back)
    notes = Image.Exif()
    notes[0x0112] = orientation
    file = io.BytesIO()
    stored.save(file, kind, exif=notes)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int, kind: str) -> None:
    seen_HWC = opened(turned(orientation, kind))
    assert seen_HWC.shape == (32, 64, 3)
    assert seen_HWC[4, 32, 0] > 180 > 60 > seen_HWC[4, 32, 2]
    assert seen_HWC[28, 32, 2] > 180 > 60 > seen_HWC[28, 32, 0]


def test_broken_exif_is_ignored() -> None:
    file = io.BytesIO()
    noise().save(file, "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    assert np.array_equal(opened(file.getvalue()), np.asarray(noise()))


def test_only_the_first_picture_of_an_mpo_is_read() -> None:
    file = io.BytesIO()
    noise(1).save(file, "MPO", save_all=True, append_images=[noise(2)])
    assert opened(file.getvalue()).shape == (24, 24, 3)


def test_a_decompression_bomb_is_refused() -> None:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    assert reason(bomb).startswith("huge")


def test_devices_and_fifos_are_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.png")  # opening it would wait for ever
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "folder.png").mkdir()
    here = socket.socket(socket.AF_UNIX)
    here.bind(os.path.relpath(tmp_path / "socket.png"))
    pictures = FolderPictures(tmp_path, ids=["fifo.png", "zero.png", "folder.png", "socket.png"])
    kinds = {"fifo.png": "a FIFO", "zero.png": "a device", "folder.png": "a folder", "socket.png": "a socket"}
    for item, kind in kinds.items():
        with pytest.raises(BadPictureError, match=f"not a file but {kind}"):
            pictures.open(item)
        assert pictures.digest(item) == f"missing {item}"
    here.close()


def test_pictures_of_a_folder_are_found_and_read(tmp_path: Path) -> None:
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
    with pytest.raises(ValueError, match="same picture id 'a b'"):
        FolderPictures(tmp_path, suffix=False)
    with pytest.raises(BadPictureError, match="missing"):
        FolderPictures(tmp_path, ids=["gone.png"]).open("gone.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="contains no pictures"):
        FolderPictures(tmp_path / "empty")


def test_linked_folders_are_read_once(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "p" / "here").mkdir(parents=True)
    noise().save(tmp_path / "elsewhere" / "a.png")
    noise().save(tmp_path / "p" / "here" / "b.png")
    (tmp_path / "p" / "there").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "p" / "here" / "circle").symlink_to(tmp_path / "p")
    assert FolderPictures(tmp_path / "p").ids == ["here/b.png", "there/a.png"]


def test_a_heic_photo_is_listed_and_refused(tmp_path: Path) -> None:
    (tmp_path / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(99))
    pictures = FolderPictures(tmp_path)
    assert pictures.ids == ["IMG_1.HEIC"]
    with pytest.raises(BadPictureError, match="HEIC, which is not supported: convert it to JPEG"):
        pictures.open("IMG_1.HEIC")


def test_an_unreadable_file_is_not_a_duplicate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise().save(tmp_path / "a.png")

    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", denied)
    assert FolderPictures(tmp_path, ids=["a.png"]).digest("a.png") == "missing a.png"


@pytest.mark.parametrize("item", ["../x.png", "/etc/passwd", "a/../../b.png", "a\\b.png", ""])
def test_ids_cannot_leave_the_folder(tmp_path: Path, item: str) -> None:
    with pytest.raises(ValueError, match="points outside the folder"):
        FolderPictures(tmp_path, ids=[item])


def test_pictures_in_arrays_are_read() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    pictures = ArrayPictures(["a", "b"], pixels)
    assert np.array_equal(np.asarray(pictures.open("b")), pixels[1])
    assert pictures.digest("a") != pictures.digest("b")
    with pytest.raises(ValueError, match="2 ids for 1"):
        ArrayPictures(["a", "b"], pixels[:1])
    with pytest.raises(ValueError, match="uint8"):
        ArrayPictures(["a"], pixels[:1].astype(np.float32))
