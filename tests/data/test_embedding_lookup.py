"""prefprior/data/embedding_lookup.py: where embeddings are found, and which command makes them."""

from pathlib import Path

import numpy as np
import pytest

from prefprior.data.embedding.table import EmbeddingTable
from prefprior.data.embedding_lookup import RefinedEmbeddings, StoredEmbeddings, embedding_folder
from prefprior.errors import RunFirstError
from tests.data.small import SmallSource, ratings


class Bare(SmallSource):
    """A source that brings no embeddings."""

    def embeddings(self) -> None:  # type: ignore[override]
        return None


@pytest.fixture
def bare() -> Bare:
    return Bare(ratings())


def store(root: Path, source: SmallSource, space: str) -> EmbeddingTable:
    return EmbeddingTable.write(embedding_folder(root, source.name, space), space, source.ids, source.vectors)


def test_a_space_with_a_slash_is_one_folder() -> None:
    assert embedding_folder("e", "small", "ViT-H-14/tag") == Path("e/small/ViT-H-14__tag")


def test_embeddings_of_the_source_are_used(tmp_path: Path) -> None:
    assert StoredEmbeddings(root=str(tmp_path)).table(SmallSource(ratings())).space.name == "small-space"


def test_a_space_other_than_the_sources_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"comes with embeddings of small-space\. Leave embeddings.space out"):
        StoredEmbeddings(root=str(tmp_path), space="other").table(SmallSource(ratings()))


def test_the_only_stored_table_is_used(bare: Bare, tmp_path: Path) -> None:
    store(tmp_path, bare, "a/b")
    assert StoredEmbeddings(root=str(tmp_path)).table(bare).space.name == "a/b"


def test_of_several_tables_one_must_be_chosen(bare: Bare, tmp_path: Path) -> None:
    for space in ("a/b", "c"):
        store(tmp_path, bare, space)
    with pytest.raises(ValueError, match=r"several encoders: a/b, c\. Choose one"):
        StoredEmbeddings(root=str(tmp_path)).table(bare)


def test_a_space_selects_among_tables(bare: Bare, tmp_path: Path) -> None:
    for space in ("a/b", "c"):
        store(tmp_path, bare, space)
    assert StoredEmbeddings(root=str(tmp_path), space="c").table(bare).space.name == "c"


def test_without_a_table_the_error_names_the_embed_command(bare: Bare, tmp_path: Path) -> None:
    with pytest.raises(RunFirstError, match=r"python embed.py source=small encoder=mine$"):
        StoredEmbeddings(root=str(tmp_path), encoder="mine").table(bare)


def test_refined_embeddings_replace_the_sources_own(tmp_path: Path) -> None:
    source = SmallSource(ratings())
    EmbeddingTable.write(tmp_path, "small-space+wals", source.ids, -source.vectors)
    assert np.array_equal(RefinedEmbeddings(folder=str(tmp_path)).table(source).vectors, -source.vectors)


def test_refined_embeddings_of_another_space_are_refused(tmp_path: Path) -> None:
    source = SmallSource(ratings())
    EmbeddingTable.write(tmp_path, "small-space+wals", source.ids, source.vectors)
    with pytest.raises(ValueError, match=r"contains small-space\+wals"):
        RefinedEmbeddings(folder=str(tmp_path), space="small-space").table(source)


def test_without_refined_embeddings_the_error_names_the_command(tmp_path: Path) -> None:
    folder = tmp_path / "nowhere"
    with pytest.raises(RunFirstError, match=r"python evaluate.py source=small 'predictors=\[wals\]' .*export="):
        RefinedEmbeddings(folder=str(folder)).table(SmallSource(ratings()))
