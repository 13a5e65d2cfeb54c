"""Galleries: what is chosen, what is written, and that it can be made again."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from prefprior.data.pictures import ArrayPictures
from prefprior.decoders.retrieval import Retrieval, nearest_rows
from prefprior.decoders.safety import NoSafety
from prefprior.gallery.candidates import Drawer, Prompt, Recipe
from prefprior.gallery.interpolation import between, directions, likeness_to, spread_of
from prefprior.gallery.maker import Maker
from prefprior.gallery.manifest import begin, is_complete, person_folder, read_manifest, slug
from prefprior.gallery.pages import write_pages
from prefprior.gallery.similar_users import most_alike, reduced, side_by_side
from prefprior.gallery.users import Person, from_file, from_folders
from prefprior.history import History
from prefprior.predictor import Catalogue
from prefprior.seeding import generator_of
from prefprior.space import Space

DIM, ITEMS = 8, 40
SETTINGS = {
    "checkpoint": {"path": "prior.safetensors", "sha256": "0" * 64},
    "space": {"name": "tiny"},
    "decoder": {"identity": "nearest of 40"},
    "safety": {"identity": "none"},
    "recipe": {"seed": 0, "best_of": 2, "diversity": 0.5, "copy_threshold": 0.95},
    "sampling": {"words": "1 step"},
    "prompt": {"text": None, "weight": 0.5},
    "history": 4,
}


def catalogue() -> Catalogue:
    raw = np.random.default_rng(0).normal(size=(ITEMS, DIM)).astype(np.float32)
    return Catalogue(Space.measure("tiny", raw), [f"item-{i:02d}" for i in range(ITEMS)], torch.from_numpy(raw))


def pictures() -> ArrayPictures:
    hue = np.linspace(0, 255, ITEMS).astype(np.uint8)
    pixels = np.zeros((ITEMS, 16, 16, 3), dtype=np.uint8)
    pixels[..., 0], pixels[..., 2] = hue[:, None, None], 255 - hue[:, None, None]
    return ArrayPictures([f"item-{i:02d}" for i in range(ITEMS)], pixels)


class TinyFolk:
    """A few people whose histories are rows of the catalogue."""

    part = "unseen"

    def __init__(self, count: int) -> None:
        self.names = [f"Person {i}" for i in range(count)]
        self.catalogue, self.pictures = catalogue(), pictures()

    def gather(self, names: list[str]) -> list[Person]:
        people = []
        for name in names:
            rows = torch.randperm(ITEMS, generator=generator_of(name))[:4]
            ratings = torch.tensor([[1.0, 0.5, -0.5, -1.0]])
            history = History(
                embeddings_BKD=self.catalogue.embeddings_ND[rows][None], ratings_BK=ratings,
                ages_BK=torch.arange(4.0)[None], valid_BK=torch.ones(1, 4, dtype=torch.bool), items_BK=rows[None],
                users=[name],
            )  # fmt: skip
            items = [self.catalogue.ids[int(row)] for row in rows]
            people.append(Person(name, "test", history, items, ratings[0].tolist(), self.pictures))
        return people


def sample(history: History, n: int, generator: torch.Generator, *, rating: float) -> torch.Tensor:
    """Around the person's liked pictures, or their disliked ones."""
    weight = (history.ratings_BK * rating).clamp_min(0)
    mean = (weight[..., None] * history.embeddings_BKD).sum(1) / weight.sum(1, keepdim=True)
    return mean[:, None] + torch.randn(len(history), n, DIM, generator=generator)


def rank(history: History, items: Catalogue) -> torch.Tensor:
    weight = history.ratings_BK / history.ratings_BK.abs().sum(1, keepdim=True)
    return (weight[..., None] * history.embeddings_BKD).sum(1) @ items.embeddings_ND.float().T


def maker(root: Path, folk: TinyFolk, **recipe: float) -> Maker:
    drawer = Drawer(
        space=folk.catalogue.space, sample=sample, rank=rank, recipe=Recipe(n=3, best_of=2, **recipe),
        catalogue=folk.catalogue,
    )  # fmt: skip
    decoder = Retrieval(catalogue=folk.catalogue, pictures=folk.pictures)
    return Maker(
        root=root, settings=SETTINGS, folk=folk, drawer=drawer, decoder=decoder, safety=NoSafety(),
        catalogue=folk.catalogue, pictures=folk.pictures,
    )  # fmt: skip


def test_diversity_trades_score_for_spread() -> None:
    folk = TinyFolk(1)
    person = folk.gather(folk.names)[0]

    def drawn(diversity: float):  # type: ignore[no-untyped-def]
        recipe = Recipe(n=4, best_of=8, diversity=diversity)
        return Drawer(space=folk.catalogue.space, sample=sample, rank=rank, recipe=recipe, catalogue=None).draw(person)

    greedy, varied = drawn(0.0), drawn(4.0)
    assert greedy.fit_n.mean() > varied.fit_n.mean()
    assert greedy.spread < varied.spread
    assert (greedy.fit_n[:-1] >= greedy.fit_n[1:]).all()


def test_spread_is_the_mean_distance_of_pairs() -> None:
    unit = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert spread_of(unit) == pytest.approx(1.0)
    assert spread_of(unit[:1]) == 0


def test_interpolation_ends_where_it_should_and_stays_between() -> None:
    known = catalogue()
    one, other = known.embeddings_ND[:1], known.embeddings_ND[1:2]
    path = between(known.space, one.expand(5, -1), other.expand(5, -1), torch.linspace(0, 1, 5))
    assert torch.allclose(path[0], one[0], atol=1e-4)
    assert torch.allclose(path[-1], other[0], atol=1e-4)
    to_one = (directions(known.space, path) @ directions(known.space, one).T)[:, 0]
    assert (to_one[:-1] > to_one[1:]).all()
    assert torch.allclose(between(known.space, one, one, 0.3), one, atol=1e-5)


def test_near_copies_are_set_aside_and_counted() -> None:
    folk = TinyFolk(1)
    person = folk.gather(folk.names)[0]
    history = person.history.embeddings_BKD[0]
    calls = []

    def copying(history_: History, n: int, generator: torch.Generator, *, rating: float) -> torch.Tensor:
        calls.append(n)
        fresh = torch.randn(1, n, DIM, generator=generator) * 2
        fresh[0, : n // 2] = history[0] * 1.001
        return fresh

    drawer = Drawer(
        space=folk.catalogue.space, sample=copying, rank=rank, recipe=Recipe(n=4, best_of=1), catalogue=None
    )
    drawn = drawer.draw(person)
    assert len(calls) >= 2  # the first round left too few
    assert drawn.near_copies >= 4
    assert (drawn.likeness_n < 0.95).all()
    drawer.sample = lambda h, n, g, *, rating: history[:1].expand(1, n, -1).clone()  # nothing but copies
    drawn = drawer.draw(person)
    assert len(drawn.fit_n) == 4
    assert (drawn.likeness_n > 0.95).all()  # shown as what they are


def test_a_person_is_the_same_whoever_else_is_drawn() -> None:
    folk = TinyFolk(3)
    drawer = Drawer(space=folk.catalogue.space, sample=sample, rank=rank, recipe=Recipe(n=3), catalogue=folk.catalogue)
    alone = drawer.draw(folk.gather(["Person 2"])[0])
    after = [drawer.draw(person) for person in folk.gather(folk.names)][2]
    assert torch.equal(alone.embeddings_nD, after.embeddings_nD)
    assert not torch.equal(alone.embeddings_nD, drawer.draw(folk.gather(["Person 1"])[0]).embeddings_nD)


def test_prompt_bends_towards_pictures_of_the_words() -> None:
    known = catalogue()
    words = known.embeddings_ND[7] * 3
    raw = torch.randn(16, DIM, generator=generator_of("prompt"))
    bent = [
        likeness_to(known.space, Prompt(words, known, weight=w, width=1)(raw, generator_of("p")), words[None]).mean()
        for w in (0.0, 0.5, 1.0)
    ]
    assert bent[0] < bent[1] < bent[2]
    assert torch.allclose(Prompt(words, known, weight=0.0)(raw, generator_of("p")), raw, atol=1e-4)


def test_nearest_rows_do_not_depend_on_chunks() -> None:
    known = catalogue()
    query = known.embeddings_ND[[5, 9]] * 1.5 + 0.01
    rows, cosine = nearest_rows(known, query, 3)
    chunked, same = nearest_rows(known, query, 3, chunk=7)
    assert rows[:, 0].tolist() == [5, 9]
    assert torch.equal(rows, chunked)
    assert torch.allclose(cosine, same)


def test_neighbours_in_the_order_are_alike() -> None:
    angle = np.linspace(0, np.pi, 30)
    mixed = np.random.default_rng(0).permutation(30)
    taste = np.stack([np.cos(angle), np.sin(angle)], 1)[mixed]
    unit = reduced(taste)
    order = side_by_side(unit)
    assert sorted(order) == list(range(30))
    step = np.linalg.norm(np.diff(unit[order], axis=0), axis=1)
    assert step.mean() < 0.5 * np.linalg.norm(np.diff(unit, axis=0), axis=1).mean()
    assert all(i not in row for i, row in enumerate(most_alike(unit)))


def test_slugs_are_safe_and_differ() -> None:
    names = ["../../etc", "Ann", "ann", "Ann ", "名前", "a" * 99, "person-0001"]
    assert len({slug(name).lower() for name in names}) == len(names)
    assert all(re.fullmatch(r"[a-z0-9._-]+", slug(name)) and ".." not in slug(name) for name in names)
    assert slug("person-0001") == "person-0001"


def test_ratings_of_a_newcomer(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / "likes").mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "likes" / name)
    assert [(r.rating, r.age) for r in from_folders(str(tmp_path / "likes"), None)] == [(1.0, 0), (1.0, 1)]
    with pytest.raises(ValueError, match=r"dislikes=.*not a folder"):
        from_folders(None, str(tmp_path / "nowhere"))
    table = tmp_path / "mine.csv"
    table.write_text("picture,rating\nlikes/a.png,5\nlikes/b.png,1\n")
    assert [(r.rating, r.age) for r in from_file(str(table))] == [(1.0, 1), (-1.0, 0)]  # the last row is the newest
    table.write_text("picture,rating\nlikes/a.png,5\nlikes/c.png,1\n")
    with pytest.raises(ValueError, match=r"mine\.csv:3: there is no file .*c\.png"):
        from_file(str(table))
    table.write_text("")
    with pytest.raises(ValueError, match=r"mine.csv is empty"):
        from_file(str(table))


def test_a_gallery_is_made_whole_and_the_same_again(tmp_path: Path) -> None:
    folk = TinyFolk(3)
    for root in (tmp_path / "one", tmp_path / "two"):
        begin(root, SETTINGS)
        made = maker(root, folk)
        groups = [folk.names] if root.name == "one" else [["Person 2"], ["Person 0"], ["Person 1"]]
        for group in groups:
            made.make(group)
        write_pages(root, folk.names, "Galleries")
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(tmp_path / "two") for p in (tmp_path / "two").rglob("*") if p.is_file())
    assert all((tmp_path / "one" / f).read_bytes() == (tmp_path / "two" / f).read_bytes() for f in files)
    folder = person_folder(tmp_path / "one", "Person 1")
    manifest = read_manifest(folder)
    assert is_complete(tmp_path / "one", "Person 1")
    assert len(manifest["made"]) == 3
    assert all((folder / row["file"]).is_file() for row in manifest["made"])
    assert all((tmp_path / "one" / row["file"]).is_file() for row in manifest["rated"])
    with pytest.raises(ValueError, match="other settings: history"):
        begin(tmp_path / "one", {**SETTINGS, "history": 5})


class Prude:
    """Withholds the second of the pictures it is shown."""

    identity = "prude"

    def to(self, device: str) -> None: ...

    def flagged(self, shown: list[Image.Image]) -> list[bool]:
        return [index == 1 for index in range(len(shown))]


def test_withheld_pictures_are_blurred_and_counted(tmp_path: Path) -> None:
    folk = TinyFolk(1)
    made = maker(tmp_path, folk)
    made.make(folk.names)
    plain = read_manifest(person_folder(tmp_path, "Person 0"))
    made.safety, made.root = Prude(), tmp_path / "safe"
    made.make(folk.names)
    manifest = read_manifest(person_folder(tmp_path / "safe", "Person 0"))
    assert manifest["counts"]["withheld"] == 1
    assert [row["withheld"] for row in manifest["made"]] == [False, True, False]
    assert manifest["summary"]["fit"] == plain["summary"]["fit"]


def test_pages_escape_what_people_write(tmp_path: Path) -> None:
    folk = TinyFolk(1)
    folk.names = ['<script>alert("x")</script>']
    maker(tmp_path, folk).make(folk.names)
    index = write_pages(tmp_path, folk.names, "A & B")
    page = (person_folder(tmp_path, folk.names[0]) / "index.html").read_text()
    assert "<script>alert" not in page
    assert "A &amp; B" in index.read_text()
    assert "</script>" not in (tmp_path / "people.js").read_text()


def test_pages_ask_for_nothing_outside_their_folder(tmp_path: Path) -> None:
    folk = TinyFolk(3)
    begin(tmp_path, SETTINGS)
    maker(tmp_path, folk).make(folk.names)
    write_pages(tmp_path, folk.names, "Galleries")
    for page in tmp_path.rglob("*.html"):
        text = page.read_text()
        assert "http" not in re.sub(r"https?-equiv", "", text)
        for link in re.findall(r'(?:href|src|data-full)="([^"]*)"', text):
            if not link.startswith(("data:", "#")):
                assert (page.parent / link).resolve().is_relative_to(tmp_path.resolve())
                assert (page.parent / link).is_file(), link
        assert len(re.findall(r"<img ", text)) == len(re.findall(r"<img [^>]*alt=", text))
