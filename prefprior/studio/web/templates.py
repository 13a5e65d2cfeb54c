"""The pages' templates; everything in them is escaped."""

from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

TITLES = {"nine": "Nine", "pair": "Pair", "rate": "Rate", "roam": "Roam"}
# Colours, type and the switch between light and dark are those of galleries.
STATIC = {
    "style.css": ("prefprior.gallery", "templates/style.css", "text/css"),
    "theme.js": ("prefprior.gallery", "templates/theme.js", "text/javascript"),
    "studio.css": ("prefprior.studio", "static/studio.css", "text/css"),
    "studio.js": ("prefprior.studio", "static/studio.js", "text/javascript"),
    "icon.svg": ("prefprior.studio", "static/icon.svg", "image/svg+xml"),
}


@cache
def static(name: str) -> bytes:
    """A file of `STATIC`."""
    package, path, _ = STATIC[name]
    return files(package).joinpath(path).read_bytes()


def page(template: str, **values: Any) -> HTMLResponse:
    """A page, or a part of one."""
    return HTMLResponse(_environment().get_template(template).render(**values))


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("prefprior.studio"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    made.globals["static"] = lambda name: f"/static/{name}?v={sha256(static(name)).hexdigest()[:12]}"
    return made
