"""Curves and filmstrips."""

import io

from PIL import Image

from prefprior.elicitation.questions import Kind, Question
from prefprior.elicitation.report import SIDE, TEXT, curves, filmstrip
from prefprior.evaluation.protocol.bootstrap import Figure
from prefprior.gallery.contact_sheet import GAP, LIKED

RED, BLUE = (Image.new("RGB", (SIDE, SIDE), colour) for colour in ("red", "blue"))
PICKED, RATED = Question(Kind(2), (0, 1)).chosen([1]), Question(Kind(1), (2,)).rated(4)


def test_curves_are_a_png() -> None:
    line = {0: Figure(0.1, 0.0, 0.2, 9), 5: Figure(0.5, 0.4, 0.6, 9)}
    picture = Image.open(io.BytesIO(curves("utility", {"random_9": line, "eubo_2": {5: line[5]}})))
    assert picture.format == "PNG"
    assert picture.width > 500


def test_a_filmstrip_frames_what_was_picked() -> None:
    sheet = filmstrip("ann", [PICKED, RATED], [[RED, BLUE], [RED]], {}, [1, 2, 3, 4, 5])
    left, top = TEXT + SIDE + GAP, 40
    frame = Image.new("RGB", (1, 1), LIKED).getpixel((0, 0))
    assert sheet.getpixel((left + 5, top + 5)) == (0, 0, 255)
    assert sheet.getpixel((left - 2, top + 5)) == frame
    assert sheet.getpixel((TEXT - 2, top + 5)) != frame, "what was passed over has none"


def test_a_filmstrip_has_a_row_for_each_question_and_for_what_was_made() -> None:
    plain = filmstrip("ann", [PICKED, RATED], [[RED, BLUE], [RED]], {}, [1, 2, 3, 4, 5])
    made = filmstrip("ann", [PICKED, RATED], [[RED, BLUE], [RED]], {1: [BLUE, BLUE, RED]}, [1, 2, 3, 4, 5])
    assert made.height == plain.height + SIDE + GAP
    assert made.width == plain.width + SIDE + GAP


def test_nothing_asked_is_still_a_picture() -> None:
    assert filmstrip("ann", [], [], {}, []).height > SIDE
