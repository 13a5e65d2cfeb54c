"""The index page of a gallery of ten thousand users in a real browser: its memory, and when it first paints.

    python benchmarks/gallery_index.py --json out.json
    python benchmarks/gallery_index.py --people 1000 --folder runs/gallery_index

Every user has a thumbnail strip of its own. Headless Chromium opens the page from its file; memory is the sum over
its processes of what each holds, with what they share counted once (proportional set size), while the page is open.
First paint and the number of strips read by then come from the page's own performance entries.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone is enough: nothing needs to be installed

from prefprior.files import make_folder, write_json
from prefprior.gallery import contact_sheet
from prefprior.gallery.pages import DATA, INDEX, write_index
from prefprior.gallery.similar_users import reduced, side_by_side

# Writes into the title, which Chromium prints with the page's final markup.
PROBE = """<script>addEventListener("load", function () { setTimeout(function () {
  var paints = performance.getEntriesByType("paint");
  var paint = paints.filter(function (e) { return e.name === "first-contentful-paint"; })[0];
  var strips = performance.getEntriesByType("resource").filter(function (e) { return /strip/.test(e.name); });
  var before = strips.filter(function (e) { return paint && e.responseEnd <= paint.startTime; }).length;
  document.title = JSON.stringify({ paint: paint ? paint.startTime : null, strips: strips.length, before: before });
}, 1500); });</script></body>"""


def build(root: Path, people: int) -> None:
    """The index and one strip a user."""
    draws = np.random.default_rng(0)
    order = side_by_side(reduced(draws.normal(size=(people, 64)).astype(np.float32)))
    entries = []
    for i in range(people):
        name = f"person-{i:05d}"
        noise = draws.integers(0, 255, (8, 32, 3), dtype=np.uint8)
        folder = make_folder(root / "people" / name)
        contact_sheet.save(Image.fromarray(noise).resize((384, 96), Image.Resampling.BICUBIC), folder / "strip.webp")
        better, utility, spread = (round(float(x), 3) for x in draws.random(3))
        words = "likes many small soft circles in a ring, warm; or one large dark square"
        entries.append(
            {"slug": name, "name": name, "taste": words, "better_than": better, "diversity": spread, "utility": utility}
        )
    write_index(root, entries, order, f"{people} people", [("decoder", "benchmark")])


def chromium(*words: str) -> list[str]:
    """The browser's command line."""
    found = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
    if found is None:
        sys.exit("error: this benchmark needs chromium")
    return [
        found, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", f"--user-data-dir={tempfile.mkdtemp()}", *words,
    ]  # fmt: skip


def paint_figures(page: Path) -> dict[str, float]:
    """First paint in milliseconds, strips read in all and strips read before it."""
    probe = page.with_name("probe.html")
    probe.write_text(page.read_text().replace("</body>", PROBE))
    words = chromium("--virtual-time-budget=6000", "--window-size=1280,900", "--dump-dom", probe.as_uri())
    shown = subprocess.run(words, capture_output=True, text=True, timeout=180, check=True).stdout
    probe.unlink()
    found = re.search(r"<title>(\{.*?\})</title>", shown)
    return json.loads(found.group(1)) if found else {}


def memory_mb(page: Path | str, seconds: float) -> float:
    """Megabytes that the browser holds with a page open, its processes together."""
    address = page.as_uri() if isinstance(page, Path) else page
    browser = subprocess.Popen(
        chromium("--remote-debugging-port=0", "--window-size=1280,900", address),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        time.sleep(seconds)
        return sum(_held_kb(pid) for pid in _family(browser.pid)) / 1024
    finally:
        browser.terminate()
        browser.wait()


def renderer_mb(page: Path, seconds: float) -> float:
    """Megabytes of the page's own process."""
    browser = subprocess.Popen(
        chromium("--remote-debugging-port=0", "--window-size=1280,900", page.as_uri()),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        time.sleep(seconds)
        renderers = [p for p in _family(browser.pid) if b"--type=renderer" in Path(f"/proc/{p}/cmdline").read_bytes()]
        return max((_held_kb(pid) for pid in renderers), default=0.0) / 1024
    finally:
        browser.terminate()
        browser.wait()


def _family(pid: int) -> list[int]:
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += _family(int(child))
    return found


def _held_kb(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:  # it ended meanwhile
        return 0.0
    return float(re.search(r"^Pss:\s+(\d+)", text, re.M).group(1))  # type: ignore[union-attr]


def main() -> None:
    """Builds, opens and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, default=None, help="where to build; kept if given")
    parser.add_argument("--seconds", type=float, default=8.0, help="how long the page is open before memory is read")
    parser.add_argument("--json", type=Path, default=None, help="also write the figures to this file")
    args = parser.parse_args()
    root = args.folder or Path(tempfile.mkdtemp())
    started = time.perf_counter()
    build(root, args.people)
    figures: dict[str, float] = {
        "people": args.people,
        "build_seconds": time.perf_counter() - started,
        "people_js_mb": (root / DATA).stat().st_size / 2**20,
        **{f"page_{key}": value for key, value in paint_figures(root / INDEX).items()},
        "renderer_mb": renderer_mb(root / INDEX, args.seconds),
        "browser_mb": memory_mb(root / INDEX, args.seconds),
        "browser_with_empty_page_mb": memory_mb("about:blank", args.seconds),
    }
    for name, value in figures.items():
        print(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}")
    if args.json is not None:
        write_json(args.json, figures)
    if args.folder is None:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
