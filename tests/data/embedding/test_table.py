"""The stored table: mapped, checked, replaced whole."""

from pathlib import Path

import numpy as np
import pytest

from prefprior.data.embedding.table import MANIFEST, EmbeddingTable
from prefprior.files import read_json, write_json

VECTORS = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float16)
IDS = [f"a {i}/ü.jpg" for i in range(40)]


def test_a_written_table_is_read_back(tmp_path: Path) -> None:
    EmbeddingTable.write(tmp_path, "model/tag", IDS, VECTORS, encoder={"model": "m"}, set_aside=2)
    table = EmbeddingTable.open(tmp_path)
    assert isinstance(table.vectors, np.memmap)
    assert (table.vectors == VECTORS).all()
    assert table.ids == IDS
    assert table.row_of[IDS[7]] == 7
    assert table.facts == {"encoder": {"model": "m"}, "set_aside": 2}
    assert table.space.name == "model/tag"
    assert table.space.mean_D == pytest.approx(VECTORS.astype(float).mean(0), abs=1e-6)
    catalogue = table.catalogue()
    assert catalogue.embeddings_ND.dtype.itemsize == 2
    assert len(catalogue) == 40


def test_chunks_make_the_same_file(tmp_path: Path) -> None:
    EmbeddingTable.write(tmp_path / "whole", "s", IDS, VECTORS)
    EmbeddingTable.write_chunks(tmp_path / "cut", "s", IDS, np.array_split(VECTORS, 7), dim=6, dtype="float16")
    names = sorted(p.name for p in (tmp_path / "whole").iterdir())
    assert names == sorted(p.name for p in (tmp_path / "cut").iterdir()) == ["ids-0.txt", MANIFEST, "vectors-0.npy"]
    for name in names:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()


def test_a_new_version_replaces_all_files_of_the_old_one(tmp_path: Path) -> None:
    old = EmbeddingTable.write(tmp_path, "s", IDS, VECTORS)
    manifest = (tmp_path / MANIFEST).read_bytes()
    new = EmbeddingTable.write(tmp_path, "s", IDS[:3], VECTORS[:3])
    assert len(new) == 3
    assert (old.vectors == VECTORS).all()  # a reader that has the old one mapped keeps it
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ids-1.txt", MANIFEST, "vectors-1.npy"]
    # Killed before the manifest was replaced: the old table still opens.
    EmbeddingTable.write(tmp_path / "k", "s", IDS, VECTORS)
    np.save(tmp_path / "k" / "vectors-1.npy", VECTORS[:2])
    assert len(EmbeddingTable.open(tmp_path / "k")) == 40
    assert manifest


@pytest.mark.parametrize("name", ["vectors-0.npy", "ids-0.txt"])
def test_changed_truncated_and_missing_files_are_refused_by_name(tmp_path: Path, name: str) -> None:
    EmbeddingTable.write(tmp_path, "s", IDS, VECTORS)
    path = tmp_path / name
    whole = path.read_bytes()
    for broken in (whole[:-3], whole[:-1] + b"~", whole + b"x"):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=f"{name} has changed"):
            EmbeddingTable.open(tmp_path)
    path.unlink()
    with pytest.raises(ValueError, match=f"{name} is missing"):
        EmbeddingTable.open(tmp_path)


def test_folders_without_a_table_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"contains no embeddings.*embed\.py"):
        EmbeddingTable.open(tmp_path)
    write_json(tmp_path / MANIFEST, {"format": 99})
    with pytest.raises(ValueError, match="not a manifest of embeddings"):
        EmbeddingTable.open(tmp_path)
    EmbeddingTable.write(tmp_path / "t", "s", IDS, VECTORS)
    manifest = read_json(tmp_path / "t" / MANIFEST)
    write_json(tmp_path / "t" / MANIFEST, {**manifest, "count": 41})
    with pytest.raises(ValueError, match=r"shape \(40, 6\), but .* says \(41, 6\)"):
        EmbeddingTable.open(tmp_path / "t")


def test_invalid_vectors_and_ids_are_refused(tmp_path: Path) -> None:
    infinite = VECTORS.copy()
    infinite[3, 2] = np.inf
    for vectors, ids, message in (
        (infinite, IDS, "rows 3"),
        (VECTORS, [*IDS[:-1], IDS[0]], "already in line 1"),
        (VECTORS, [*IDS[:-1], "two\nlines"], "is not a valid item id"),
        (VECTORS[:0], [], "is empty"),
    ):
        with pytest.raises(ValueError, match=message):
            EmbeddingTable.write(tmp_path, "s", ids, vectors)
    assert not (tmp_path / MANIFEST).exists()


def test_space_statistics_do_not_load_the_table_into_memory(tmp_path: Path) -> None:
    table = EmbeddingTable.write(tmp_path, "s", IDS, VECTORS.astype(np.float32))
    assert "ids" not in table.__dict__  # read when first asked for
    assert table.space.norm == pytest.approx(np.median(np.linalg.norm(VECTORS.astype(float), axis=1)), rel=1e-4)
