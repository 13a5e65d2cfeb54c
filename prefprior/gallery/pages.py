"""The pages of a gallery: one for each user and an index over all, as plain files without server or network."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from prefprior.data.columns.parquet import parquet_file
from prefprior.data.decoding import BadPictureError, decode
from prefprior.files import write_text
from prefprior.gallery import contact_sheet
from prefprior.gallery.manifest import MANIFEST, PEOPLE, SAMPLES, SETTINGS, SHEET, read_made, user_folder
from prefprior.gallery.settings import GallerySettings, sampling_in_words
from prefprior.gallery.similar_users import most_alike, reduced, side_by_side

OVERVIEW = 8  # users on the overview sheet
INDEX = "index.html"
DATA = "people.js"


def write_pages(root: Path, names: list[str], title: str, settings: GallerySettings) -> Path:
    """Writes all pages of users whose folders are complete; returns the index."""
    cards, tastes = [], []
    for name in names:  # manifests are read twice rather than kept: there may be many users
        folder = user_folder(root, name)
        cards.append(_card(read_made(folder)))
        tastes.append(_taste(folder / SAMPLES))
    unit = reduced(np.stack(tastes))
    alike, order = most_alike(unit), side_by_side(unit)
    facts = _facts(settings)
    template = _environment().get_template("person.html.j2")
    for place, name in enumerate(names):
        manifest = read_made(user_folder(root, name))
        page = template.render(
            title=title,
            manifest=manifest,
            facts=facts,
            alike=[cards[other] for other in alike[place]],
            before=cards[place - 1] if place else None,
            after=cards[place + 1] if place + 1 < len(names) else None,
            again=_again(manifest["person"]["slug"]) if settings.command is not None else None,
        )
        write_text(user_folder(root, name) / INDEX, page)
    first = [read_made(user_folder(root, name)) for name in names[:OVERVIEW]]
    write_index(root, [_entry(card) for card in cards], order, title, facts)
    _write_overview(root, first)
    return root / INDEX


def _again(slug: str) -> str:
    """The command that makes a user's pictures again."""
    return f"python sample.py manifest={PEOPLE}/{slug}/{MANIFEST}"


def write_index(
    root: Path, entries: list[dict[str, Any]], order: list[int], title: str, facts: list[tuple[str, str]]
) -> None:
    """The index page and its data: columns, so that ten thousand users stay small; the page shows a few at a time."""
    columns: dict[str, list[Any]] = {key: [entry.get(key) for entry in entries] for key in _keys(entries)}
    place = [0] * len(entries)
    for at, person in enumerate(order):
        place[person] = at
    columns["alike"] = place
    data = json.dumps({"count": len(entries), "columns": columns}, ensure_ascii=False, separators=(",", ":"))
    # A script, not JSON: pages opened from a file may not fetch, but may load scripts beside them.
    closed = data.replace("</", "<\\/")
    write_text(root / DATA, f"window.PEOPLE = {closed};\n")
    page = (
        _environment()
        .get_template("index.html.j2")
        .render(title=title, count=len(entries), facts=facts, data=DATA, people=PEOPLE, settings=SETTINGS)
    )
    write_text(root / INDEX, page)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("prefprior.gallery"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["percent"] = lambda value: f"{100 * value:.0f} %"
    environment.filters["signed"] = lambda value: f"{value:+.2f}"
    return environment


def _taste(samples: Path) -> np.ndarray:
    with parquet_file(samples) as file:
        table = file.read(columns=["embedding"])
    return np.asarray(table.column("embedding").to_pylist(), dtype=np.float32).mean(0)


def _card(manifest: dict[str, Any]) -> dict[str, Any]:
    return {**manifest["person"], **manifest["summary"]}


def _entry(card: dict[str, Any]) -> dict[str, Any]:
    figures = ("better_than", "concentration", "diversity", "utility", "utility_decoded")
    return {key: card[key] for key in ("slug", "name", "taste")} | {
        key: round(card[key], 3) for key in figures if key in card
    }


def _keys(entries: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for entry in entries for key in entry))


def _facts(settings: GallerySettings) -> list[tuple[str, str]]:
    """Settings as a reader wants them; the manifest has them all."""
    sampler = settings.sampler
    facts = [
        ("prior", f"{settings.checkpoint} {(settings.checkpoint_sha256 or '')[:12]}".strip()),
        ("space", settings.space),
        ("decoder", settings.decoder),
        ("seed", str(settings.seed)),
        ("sampler", sampling_in_words(sampler, with_text=settings.prompt_guides)),
        ("selected from", f"{settings.candidates} candidates per picture, diversity {sampler.diversity:g}"),
        ("near-copies", f"avoided from a cosine similarity of {settings.copy_threshold:g}"),
        ("history", f"at most {settings.history} ratings"),
        ("safety filter", settings.safety),
    ]
    if settings.axes:
        told = ", ".join(f"{name} {strength:+g}" for name, strength in settings.axes.items())
        facts.append(("axes", f"{told} standard deviations"))
    if settings.edit:
        painted = "" if settings.repaint is None else f", repainted from {settings.repaint:g} of the noise"
        facts.append(("edit", f"of the picture {settings.edit[:12]}, strength {settings.edit_strength:g}{painted}"))
    if settings.prompt:
        weight = "" if settings.prompt_weight is None else f", weight {settings.prompt_weight:g}"
        facts.append(("prompt", f"“{settings.prompt}”{weight}"))
    return facts


def _write_overview(root: Path, manifests: list[dict[str, Any]]) -> None:
    rows = []
    for manifest in manifests:
        best = sorted((r for r in manifest["rated"] if r["file"] and r["rating"] > 0), key=lambda r: -r["rating"])
        liked = [_read(root / r["file"]) for r in best[:4]]
        folder = root / PEOPLE / manifest["person"]["slug"]
        made = [_read(folder / row["file"]) for row in manifest["made"][:8]]
        rows.append((_caption(manifest), liked, made))
    contact_sheet.save(contact_sheet.overview(rows), root / SHEET)


def _caption(manifest: dict[str, Any]) -> str:
    person = manifest["person"]
    return f"{person['name']}  {person['taste']}".strip()


def _read(path: Path) -> Image.Image:
    try:
        return decode(path, str(path))
    except BadPictureError as error:
        raise ValueError(
            f"{path}: {error}. Delete the manifest.json of this user's folder and run the same command again."
        ) from None
