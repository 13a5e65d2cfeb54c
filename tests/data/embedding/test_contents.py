"""prefprior/data/embedding/contents.py: rows are known by the pictures they are of, not by their names."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from prefprior.data.embedding.contents import CONTENT, content_of, other_pictures
from prefprior.data.embedding.encode import encode
from prefprior.data.embedding.encoders import OpenClipEncoder
from prefprior.data.embedding.plan import PARTS, EncodeRule
from prefprior.data.embedding.table import EmbeddingTable
from prefprior.data.embedding_lookup import StoredEmbeddings, embedding_folder
from prefprior.data.pictures import BytesPictures, FolderPictures, Pictures
from prefprior.data.sources.table import TableSource
from prefprior.data.tar_pictures import TarPictures
from tests.data.embedding.test_encode import RULE, counted, draw, trainer
from tests.data.small import csv
from tests.data.test_tar_pictures import tar


def contents(pictures: Pictures) -> np.ndarray:
    return np.asarray([content_of(pictures, item) for item in pictures.ids], dtype=CONTENT)


def rewritten(path: Path, data: bytes, keep_time: bool = True) -> None:
    """Other bytes, as a program writes them that keeps a file's time."""
    before = path.stat()
    path.write_bytes(data)
    if keep_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_an_unmodified_file_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(tmp_path, 0, 3)
    pictures = FolderPictures(tmp_path)
    known_N = contents(pictures)
    monkeypatch.setattr(FolderPictures, "digest", lambda *_: pytest.fail("it was read"))
    assert other_pictures(pictures, pictures.ids, known_N) == []


def test_a_file_with_a_new_time_and_the_same_bytes_is_the_same_picture(tmp_path: Path) -> None:
    draw(tmp_path, 0, 3)
    pictures = FolderPictures(tmp_path)
    known_N = contents(pictures)
    os.utime(tmp_path / "001.png", (1, 1))
    assert other_pictures(pictures, pictures.ids, known_N) == []


def test_other_bytes_with_the_same_size_and_time_are_another_picture(tmp_path: Path) -> None:
    draw(tmp_path, 0, 3)
    pictures = FolderPictures(tmp_path)
    known_N = contents(pictures)
    rewritten(tmp_path / "001.png", bytes((tmp_path / "001.png").stat().st_size))
    assert other_pictures(pictures, pictures.ids, known_N) == ["001.png"]


def test_another_folder_with_the_same_names_sizes_and_times_holds_other_pictures(tmp_path: Path) -> None:
    for name, colour in (("one", b"a"), ("two", b"b")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.png").write_bytes(colour * 100)
        os.utime(tmp_path / name / "x.png", (0, 0))
    known_N = contents(FolderPictures(tmp_path / "one"))
    assert other_pictures(FolderPictures(tmp_path / "two"), ["x.png"], known_N) == ["x.png"]


def test_a_copy_of_the_folder_holds_the_same_pictures(tmp_path: Path) -> None:
    draw(tmp_path / "one", 0, 3)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    known_N = contents(FolderPictures(tmp_path / "one"))
    assert other_pictures(FolderPictures(tmp_path / "two"), ["000.png", "001.png", "002.png"], known_N) == []


def test_pictures_in_tars_and_memory_are_compared_by_their_bytes(tmp_path: Path) -> None:
    for kind in (
        lambda data: TarPictures([tar(tmp_path / "0.tar", {"x.png": data})]),
        lambda data: BytesPictures({"x": data}),
    ):
        known_N = contents(kind(b"one"))
        assert other_pictures(kind(b"one"), ["x"], known_N) == []
        assert other_pictures(kind(b"two"), ["x"], known_N) == ["x"]


def test_without_stamps_pictures_are_read_and_not_embedded_again(
    tmp_path: Path, encoder: OpenClipEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path / "p", 0, 3)
    run(tmp_path / "p", encoder, tmp_path / "e")
    (tmp_path / "e" / "stamps-0.npy").write_bytes(b"junk")
    sizes = counted(monkeypatch)
    run(tmp_path / "p", encoder, tmp_path / "e")
    assert sizes == []


def run(folder: Path, encoder: OpenClipEncoder, out: Path, rule: EncodeRule = RULE) -> EmbeddingTable:
    return encode(FolderPictures(folder), encoder, out, rule, trainer())[0]


EMBED = EncodeRule(batch_size=4, part_size=8, max_bad=0.5, changed="embed")


@pytest.fixture
def replaced(tmp_path: Path, encoder: OpenClipEncoder, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[int]]:
    """Six pictures that were embedded (e), of which one (002) has become another since; what was embedded since."""
    draw(tmp_path / "p", 0, 6)
    run(tmp_path / "p", encoder, tmp_path / "e")
    draw(tmp_path / "q", 90, 91)
    shutil.copy(tmp_path / "q" / "090.png", tmp_path / "p" / "002.png")
    return tmp_path, counted(monkeypatch)


def test_another_picture_under_a_known_id_is_refused(
    replaced: tuple[Path, list[int]], encoder: OpenClipEncoder
) -> None:
    with pytest.raises(ValueError, match=r"'002.png' is no longer the picture .*\(1 of 6 pictures\).*changed=embed"):
        run(replaced[0] / "p", encoder, replaced[0] / "e")


def test_another_picture_under_a_known_id_is_embedded_with_changed_embed(
    replaced: tuple[Path, list[int]], encoder: OpenClipEncoder
) -> None:
    folder, sizes = replaced
    before = np.array(EmbeddingTable.open(folder / "e").vectors)
    table = run(folder / "p", encoder, folder / "e", EMBED)
    assert sum(sizes) == 1
    other_N = (table.vectors != before).any(1)
    assert table.ids == [f"{i:03d}.png" for i in range(6)]
    assert other_N.tolist() == [False, False, True, False, False, False]
    assert (table.vectors[2] == run(folder / "q", encoder, folder / "direct").vectors[0]).all()


def test_a_replaced_picture_is_not_embedded_again(replaced: tuple[Path, list[int]], encoder: OpenClipEncoder) -> None:
    folder, sizes = replaced
    run(folder / "p", encoder, folder / "e", EMBED)
    run(folder / "p", encoder, folder / "e")
    assert sum(sizes) == 1


def test_a_picture_that_became_unreadable_is_removed_from_the_table(
    replaced: tuple[Path, list[int]], encoder: OpenClipEncoder
) -> None:
    folder, _ = replaced
    (folder / "p" / "002.png").write_bytes(b"broken")
    assert "002.png" not in run(folder / "p", encoder, folder / "e", EMBED).ids


def test_a_table_without_digests_is_refused(tmp_path: Path, encoder: OpenClipEncoder) -> None:
    draw(tmp_path / "p", 0, 2)
    ids, vectors_ND = ["000.png", "001.png"], np.eye(2, encoder.dim, dtype=np.float16)
    EmbeddingTable.write(tmp_path / "e", encoder.space_name, ids, vectors_ND, encoder=encoder.identity())
    with pytest.raises(ValueError, match=r"cannot be verified as the picture that was embedded \(2 of 2 pictures\)"):
        run(tmp_path / "p", encoder, tmp_path / "e")


def test_a_part_with_changed_pictures_is_made_again(
    tmp_path: Path, encoder: OpenClipEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path / "p", 0, 10)
    with monkeypatch.context() as patch:  # interrupted when all parts were stored
        patch.setattr("prefprior.data.embedding.encode.finish", lambda *a: None)
        with pytest.raises(ValueError, match="contains no embeddings"):
            run(tmp_path / "p", encoder, tmp_path / "e")
    assert len(list((tmp_path / "e" / PARTS).glob("*.npy"))) == 2
    draw(tmp_path / "q", 90, 91)
    shutil.copy(tmp_path / "q" / "090.png", tmp_path / "p" / "009.png")
    sizes = counted(monkeypatch)
    table = run(tmp_path / "p", encoder, tmp_path / "e")
    assert sum(sizes) == 2
    assert (table.vectors[9] == run(tmp_path / "q", encoder, tmp_path / "direct").vectors[0]).all()


def owner(folder: Path, pictures: str) -> TableSource:
    path = csv(folder / f"{pictures}.csv", "ann,000,1", "ann,001,5", "bob,002,3")
    return TableSource(ratings=str(path), pictures=str(folder / pictures))


def test_two_sources_with_the_same_ids_do_not_share_embeddings(tmp_path: Path, encoder: OpenClipEncoder) -> None:
    draw(tmp_path / "p", 0, 3)
    draw(tmp_path / "q", 90, 93)
    for i in range(3):
        (tmp_path / "q" / f"{90 + i:03d}.png").rename(tmp_path / "q" / f"{i:03d}.png")
    one, two = owner(tmp_path, "p"), owner(tmp_path, "q")
    folder = embedding_folder(tmp_path / "e", "table", encoder.space_name)
    pictures = one.pictures()
    assert pictures is not None
    encode(pictures, encoder, folder, RULE, trainer())
    lookup = StoredEmbeddings(root=str(tmp_path / "e"))
    assert lookup.table(one).ids == ["000", "001", "002"]
    with pytest.raises(ValueError, match=r"other pictures with the same ids: of 3 compared pictures, 3 have changed"):
        lookup.table(two)


def test_without_the_pictures_the_stored_table_is_used(tmp_path: Path, encoder: OpenClipEncoder) -> None:
    draw(tmp_path / "p", 0, 3)
    one = owner(tmp_path, "p")
    pictures = one.pictures()
    assert pictures is not None
    encode(pictures, encoder, embedding_folder(tmp_path / "e", "table", encoder.space_name), RULE, trainer())
    shutil.rmtree(tmp_path / "p")
    assert len(StoredEmbeddings(root=str(tmp_path / "e")).table(owner(tmp_path, "p"))) == 3
