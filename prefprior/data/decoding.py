"""One picture file into RGB: the only place where a picture is opened, for embeddings and galleries alike.

Shapes: H, W pixels.
"""

import io
import os
import stat
import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

# The largest picture that is decoded: 100 megapixels are 300 MB of memory, and no camera's picture is much larger.
MAX_PIXELS = 100_000_000
KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}
# What is white, where values have more than 8 bits and the file does not say: a picture from 0 to 1, or with the
# values of 8 or 16 bits.
WHITES = (1.0, 255.0, 65535.0)
# With a wrong white a picture becomes nearly black. Below this share of white the brightest pixel says so.
LEAST_BRIGHT = 1 / 16
BITS_PER_SAMPLE, PHOTOMETRIC = 258, 262  # tags of TIFF
# Files that are often mistaken for pictures, by their first bytes, and what to do about them.
NO_PICTURES = (
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file itself: git lfs pull"),
    (4, b"ftyphe", "HEIC, which is not supported: convert it to JPEG"),
    (4, b"ftypmif1", "HEIF, which is not supported: convert it to JPEG"),
    (0, b"<", "a web page or a vector drawing (SVG), not a picture"),
    (0, b"%PDF", "a PDF, not a picture"),
)
# What Pillow's decoders raise on broken files.
BROKEN = (OSError, ValueError, SyntaxError, IndexError, KeyError, EOFError, TypeError, OverflowError, struct.error)


class BadPictureError(Exception):
    """A picture that has to be set aside, with the reason."""


def decode(data: bytes | Path, name: str) -> Image.Image:
    """Decodes one picture whole; whatever cannot become one RGB picture is a `BadPictureError` that says why."""
    try:
        if isinstance(data, Path):
            _require_regular(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit follows
            with Image.open(io.BytesIO(data) if isinstance(data, bytes) else data) as picture:
                return as_rgb(picture)
    except FileNotFoundError:
        raise BadPictureError("missing") from None
    except UnidentifiedImageError:
        raise BadPictureError(f"unreadable: {_no_picture(data)}") from None
    except BadPictureError:
        raise
    except Image.DecompressionBombError as error:
        raise BadPictureError(f"huge: {error}") from None
    except BROKEN as error:
        kind = "truncated" if "truncated" in str(error).lower() else "unreadable"
        raise BadPictureError(f"{kind}: {str(error).replace(name, '').strip() or type(error).__name__}") from None


def as_rgb(picture: Image.Image) -> Image.Image:
    """A picture as it is seen: upright, 8 bits a channel, white where it is transparent."""
    if picture.width * picture.height > MAX_PIXELS:
        raise BadPictureError(f"huge: {picture.width} x {picture.height} pixels")
    frames = 1 if picture.format == "MPO" else getattr(picture, "n_frames", 1)  # phones add a preview to a JPEG
    if frames > 1:
        raise BadPictureError(f"animated: {frames} frames")
    picture.load()
    if picture.mode[0] in "IF":
        rgb = _from_wide(picture).convert("RGB")
    elif picture.has_transparency_data:
        # What is transparent becomes white, as on a page; dropping alpha would show hidden colours.
        layers = (picture.convert("LA") if picture.mode == "La" else picture).convert("RGBA")
        page = Image.new("RGBA", layers.size, (255, 255, 255, 255))
        rgb = Image.alpha_composite(page, layers).convert("RGB")
    else:
        rgb = picture.convert("RGB")
    return _upright(rgb, _orientation(picture))


def is_regular(path: Path) -> bool:
    """Whether a path is a file with content, and not a FIFO, a device or a folder."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):  # the latter: a name with a NUL
        return False


def _require_regular(path: Path) -> None:
    # Opening a FIFO waits for a writer for ever; opening a device may do anything.
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        raise BadPictureError(f"not a file but {KINDS.get(stat.S_IFMT(mode), 'something else')}")


def _no_picture(data: bytes | Path) -> str:
    """What it is instead."""
    if isinstance(data, Path):
        with open(data, "rb") as file:
            data = file.read(64)
    if not data:
        return "the file is empty"
    return next((what for place, begin, what in NO_PICTURES if data[place:].startswith(begin)), "not a picture")


def _from_wide(picture: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits, or of floats, in 8 bits; Pillow itself would cut off all that is above 255."""
    values_HW = np.asarray(picture)
    if values_HW.dtype.kind == "f" and not np.isfinite(values_HW).all():
        raise BadPictureError("unreadable: it contains NaN or infinity")
    low, high = float(values_HW.min()), float(values_HW.max())
    tags = getattr(picture, "tag_v2", {})
    if low < 0:
        raise BadPictureError(f"unreadable: it has values below 0 (down to {low:g}), but black is 0")
    if picture.mode.startswith("I;16") or picture.format == "PNG":
        bits = tags.get(BITS_PER_SAMPLE, (16,))[0]
        white = float((1 << min(max(int(bits), 1), 16)) - 1)
    else:
        whites = WHITES if picture.mode == "F" else WHITES[1:]
        white = next((w for w in whites if high <= w), whites[-1])
        if high > white or (white > whites[0] and high < LEAST_BRIGHT * white):
            raise BadPictureError(
                f"unreadable: its values reach {high:g}, so the value of white is unknown. Save it with 8 or "
                "16 bits, or as floats from 0 to 1"
            )
    grey_HW = np.rint(np.minimum(values_HW.astype(np.float32) * np.float32(255 / white), 255)).astype(np.uint8)
    if tags.get(PHOTOMETRIC) == 0:  # 0 is white, which Pillow knows of 8 bits only
        grey_HW = 255 - grey_HW
    return Image.fromarray(grey_HW)


def _orientation(picture: Image.Image) -> int:
    """How the camera was held; 1 (upright) where its notes cannot be read, as every viewer takes it."""
    try:
        return int(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except BROKEN:
        return 1


def _upright(picture: Image.Image, orientation: int) -> Image.Image:
    # Only the orientation is handed on: Pillow cannot write all the notes that it can read.
    note = Image.Exif()
    note[ExifTags.Base.Orientation] = orientation
    picture.info = {"exif": note.tobytes()}
    upright = ImageOps.exif_transpose(picture)
    upright.info = {}
    return upright
