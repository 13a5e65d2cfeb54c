"""What `elicit.py` shows: curves over the number of answers, and one user's questions and answers as a filmstrip."""

import io
from collections.abc import Mapping, Sequence

import matplotlib
from matplotlib.figure import Figure as Canvas
from PIL import Image, ImageDraw, ImageFont

from prefprior.elicitation.questions import Answer
from prefprior.evaluation.protocol.bootstrap import Figure
from prefprior.evaluation.report.plots import COLOURS, DASHES, MARKERS, STYLE
from prefprior.gallery.contact_sheet import FAINT, GAP, INK, LIKED, PAPER, fitted

SIDE = 96  # of a picture
TEXT = 150  # width of what is said beside a row


@matplotlib.rc_context(STYLE)
def curves(label: str, lines: Mapping[str, Mapping[int, Figure]]) -> bytes:
    """A PNG of a figure against the number of answers, a line for each way to ask, with intervals."""
    canvas = Canvas(figsize=(7, 4.4 + 0.2 * (len(lines) // 3)), layout="constrained")
    axes = canvas.subplots()
    ticks = sorted({count for line in lines.values() for count in line})
    for i, (name, line) in enumerate(lines.items()):
        x = [ticks.index(count) for count in line]
        colour = COLOURS[i % len(COLOURS)]
        axes.plot(
            x, [figure.value for figure in line.values()], label=name, color=colour, markersize=5,
            marker=MARKERS[i % len(MARKERS)], linestyle=DASHES[i // len(COLOURS) % len(DASHES)],
        )  # fmt: skip
        axes.fill_between(x, [f.low for f in line.values()], [f.high for f in line.values()], color=colour, alpha=0.12)
    axes.set_xticks(range(len(ticks)), [str(count) for count in ticks])
    axes.set_xlabel("answers")
    axes.set_ylabel(label)
    canvas.legend(frameon=False, fontsize=9, ncols=3, loc="outside lower center")
    out = io.BytesIO()
    canvas.savefig(out, format="png", dpi=120)
    return out.getvalue()


def filmstrip(
    title: str,
    answers: Sequence[Answer],
    pictures: Sequence[Sequence[Image.Image]],
    made: Mapping[int, Sequence[Image.Image]],
    levels: Sequence[float],
) -> Image.Image:
    """One user: a row for each question, with a frame around what was picked, and what was made after some answers."""
    most = max([len(row) for row in pictures] + [len(row) for row in made.values()] + [1])
    rows: list[tuple[str, Sequence[Image.Image], tuple[int, ...]]] = []
    for number, (answer, row) in enumerate(zip(answers, pictures, strict=True), 1):
        rows.append((f"question {number}: {_said(answer, levels)}", row, answer.picked))
        if number in made:
            rows.append((f"made after {number}", made[number], ()))
    width = TEXT + most * (SIDE + GAP) + GAP
    sheet = Image.new("RGB", (width, 40 + max(len(rows), 1) * (SIDE + GAP) + GAP), PAPER)
    canvas = ImageDraw.Draw(sheet)
    canvas.text((GAP, 10), title, fill=INK, font=ImageFont.load_default(18))
    for place, (text, row, picked) in enumerate(rows):
        top = 40 + place * (SIDE + GAP)
        for line, words in enumerate(text.split(": ")):
            canvas.text((GAP, top + 8 + 18 * line), words, fill=FAINT if line else INK, font=ImageFont.load_default(13))
        for column, picture in enumerate(row):
            left = TEXT + column * (SIDE + GAP)
            if column in picked:
                canvas.rectangle((left - 4, top - 4, left + SIDE + 3, top + SIDE + 3), fill=LIKED)
            sheet.paste(fitted(picture.convert("RGB"), SIDE), (left, top))
    return sheet


def _said(answer: Answer, levels: Sequence[float]) -> str:
    if answer.level is not None:
        return f"rated {levels[answer.level]:g}"
    return "picked" if answer.picked else "none of these"
