"""Making galleries: whole, the same again in any grouping, and what the safety filter withholds."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from prefprior.gallery.manifest import begin, is_complete, read_manifest, user_folder
from prefprior.gallery.pages import write_pages
from tests.gallery.tiny import SETTINGS, TinyUsers, maker


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three users, made as one group."""
    root, users = tmp_path_factory.mktemp("gallery"), TinyUsers(3)
    begin(root, SETTINGS)
    maker(root, users).make(users.names)
    write_pages(root, users.names, "Galleries", SETTINGS)
    return root


def files(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_files_do_not_depend_on_the_group_size(gallery: Path, tmp_path: Path) -> None:
    users = TinyUsers(3)
    begin(tmp_path, SETTINGS)
    for name in ("Person 2", "Person 0", "Person 1"):
        maker(tmp_path, users).make([name])
    write_pages(tmp_path, users.names, "Galleries", SETTINGS)
    assert files(tmp_path) == files(gallery)


def test_all_files_a_manifest_names_are_there(gallery: Path) -> None:
    folder = user_folder(gallery, "Person 1")
    manifest = read_manifest(folder)
    assert is_complete(gallery, "Person 1")
    assert len(manifest["made"]) == SETTINGS.n
    assert all((folder / row["file"]).is_file() for row in manifest["made"])
    assert all((gallery / row["file"]).is_file() for row in manifest["rated"])
    assert all((gallery / near["file"]).is_file() for row in manifest["made"] for near in row["nearest"])


def test_a_manifest_holds_the_settings_of_the_gallery(gallery: Path) -> None:
    assert read_manifest(user_folder(gallery, "Person 1"))["settings"] == SETTINGS.to_dict()


def test_the_parquet_file_holds_embeddings_and_scores(gallery: Path) -> None:
    folder = user_folder(gallery, "Person 1")
    table = pq.read_table(folder / "samples.parquet")
    assert table.column_names == [
        "person",
        "index",
        "seed",
        "score",
        "better_than",
        "likeness",
        "withheld",
        "embedding",
    ]
    assert table["score"].to_pylist() == [row["score"] for row in read_manifest(folder)["made"]]


def test_the_summary_is_the_mean_of_the_rows(gallery: Path) -> None:
    manifest = read_manifest(user_folder(gallery, "Person 1"))
    scores = torch.tensor([row["score"] for row in manifest["made"]])
    assert manifest["summary"]["score"] == pytest.approx(float(scores.mean()), abs=2e-5)


class Prude:
    """Withholds the second of the pictures it is shown."""

    identity = "prude"

    def to(self, device: torch.device | str) -> None: ...

    def flagged(self, pictures: list[Image.Image]) -> list[bool]:
        return [index == 1 for index in range(len(pictures))]


@pytest.fixture
def withheld(tmp_path: Path) -> Path:
    users = TinyUsers(1)
    made = maker(tmp_path, users)
    made.safety = Prude()
    made.make(users.names)
    return user_folder(tmp_path, "Person 0")


def test_withheld_pictures_are_counted_and_marked(withheld: Path) -> None:
    manifest = read_manifest(withheld)
    assert manifest["counts"]["withheld"] == 1
    assert [row["withheld"] for row in manifest["made"]] == [False, True, False]


def test_withheld_pictures_are_blurred_and_others_not(gallery: Path, withheld: Path) -> None:
    shown = user_folder(gallery, "Person 0") / "made"
    same = [(withheld / "made" / p.name).read_bytes() == p.read_bytes() for p in sorted(shown.iterdir())]
    assert same[0]
    assert same[2]


def test_withheld_pictures_are_measured_too(gallery: Path, withheld: Path) -> None:
    assert read_manifest(withheld)["summary"] == read_manifest(user_folder(gallery, "Person 0"))["summary"]


def test_negative_with_a_decoder_without_negatives_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not support negative embeddings"):
        maker(tmp_path, TinyUsers(1), negative=True)
