"""Contact sheets and thumbnails: pictures side by side in one file."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from prefprior.files import written_whole

PAPER, INK, FAINT = (250, 248, 244), (32, 30, 28), (128, 122, 114)
LIKED, DISLIKED = (46, 125, 90), (176, 72, 60)
GAP = 8


def fitted(picture: Image.Image, side: int) -> Image.Image:
    """A square of a given side: cropped in the middle; small pictures are enlarged without rings."""
    larger = min(picture.size) < side
    return ImageOps.fit(picture, (side, side), Image.Resampling.BICUBIC if larger else Image.Resampling.LANCZOS)


def save(picture: Image.Image, path: Path) -> None:
    """Writes a PNG or WebP whole."""
    with written_whole(path) as part:
        if path.suffix == ".webp":
            picture.save(part, "WEBP", quality=82, method=4)
        else:
            picture.save(part, "PNG")


def strip(pictures: Sequence[Image.Image], side: int = 96, count: int = 4) -> Image.Image:
    """The first few pictures in one row: what the index shows of a user."""
    sheet = Image.new("RGB", (side * count, side), PAPER)
    for place, picture in enumerate(pictures[:count]):
        sheet.paste(fitted(picture, side), (place * side, 0))
    return sheet


def user_sheet(
    title: str,
    subtitle: str,
    rated: Sequence[tuple[Image.Image, float]],
    made: Sequence[Image.Image],
    *,
    original: Image.Image | None = None,
    columns: int = 4,
    side: int = 192,
) -> Image.Image:
    """One user: what they liked and disliked in small, what was made for them in large; an edit after its original."""
    made, heading = (made, "generated") if original is None else ([original, *made], "original, then edits")
    width = columns * (side + GAP) + GAP
    small = (width - GAP) // 8 - GAP
    liked = [picture for picture, rating in rated if rating > 0][:8]
    disliked = [picture for picture, rating in rated if rating < 0][:8]
    rows = [
        (name, group, colour)
        for name, group, colour in (("liked", liked, LIKED), ("disliked", disliked, DISLIKED))
        if group
    ]
    made_rows = -(-len(made) // columns)
    height = 72 + len(rows) * (small + 30 + GAP) + 30 + made_rows * (side + GAP) + GAP
    sheet = Image.new("RGB", (width, height), PAPER)
    canvas = ImageDraw.Draw(sheet)
    canvas.text((GAP * 2, 14), _short(title, width // 14), fill=INK, font=ImageFont.load_default(22))
    canvas.text((GAP * 2, 44), _short(subtitle, width // 7), fill=FAINT, font=ImageFont.load_default(13))
    top = 72
    for name, group, colour in rows:
        _label(canvas, (GAP, top), name, colour)
        for place, picture in enumerate(group):
            sheet.paste(fitted(picture, small), (GAP + place * (small + GAP), top + 24))
        top += small + 30 + GAP
    _label(canvas, (GAP, top), heading, INK)
    for place, picture in enumerate(made):
        x, y = place % columns, place // columns
        sheet.paste(fitted(picture, side), (GAP + x * (side + GAP), top + 24 + y * (side + GAP)))
    return sheet


def overview(
    rows: Sequence[tuple[str, Sequence[Image.Image], Sequence[Image.Image]]], *, side: int = 88
) -> Image.Image:
    """Several users, a row each: four pictures they liked, then what was made for them."""
    liked_count, made_count = 4, max((len(made) for _, _, made in rows), default=0)
    gutter = 28
    width = GAP + (liked_count + made_count) * (side + GAP) + gutter
    sheet = Image.new("RGB", (width, 32 + len(rows) * (side + GAP + 18) + GAP), PAPER)
    canvas = ImageDraw.Draw(sheet)
    made_x = GAP + liked_count * (side + GAP) + gutter
    _label(canvas, (GAP, 8), "liked", LIKED)
    _label(canvas, (made_x, 8), "generated", INK)
    top = 32
    for name, liked, made in rows:
        canvas.text((GAP, top), _short(name, width // 7), fill=FAINT, font=ImageFont.load_default(12))
        for place, picture in enumerate(liked[:liked_count]):
            sheet.paste(fitted(picture, side), (GAP + place * (side + GAP), top + 18))
        for place, picture in enumerate(made):
            sheet.paste(fitted(picture, side), (made_x + place * (side + GAP), top + 18))
        top += side + GAP + 18
    return sheet


def _label(canvas: ImageDraw.ImageDraw, place: tuple[int, int], text: str, colour: tuple[int, int, int]) -> None:
    canvas.rectangle((place[0], place[1] + 4, place[0] + 3, place[1] + 16), fill=colour)
    canvas.text((place[0] + 10, place[1] + 2), text, fill=colour, font=ImageFont.load_default(13))


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
