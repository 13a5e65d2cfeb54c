"""Where a source's embeddings are found: with it, where `python embed.py` wrote them, or as ratings moved them."""

from pathlib import Path
from typing import Protocol, runtime_checkable

from prefprior.data.embedding.contents import other_pictures
from prefprior.data.embedding.manifest import MANIFEST, TableManifest
from prefprior.data.embedding.table import EmbeddingTable
from prefprior.data.sources.source import Source
from prefprior.errors import RunFirstError
from prefprior.nodes import Loadable

COMPARED = 32  # pictures that are looked at before a table is used


def embedding_folder(root: str | Path, source_name: str, space_name: str) -> Path:
    """The folder of a source's embeddings in one space, by convention."""
    return Path(root) / source_name / space_name.replace("/", "__")


@runtime_checkable
class Embeddings(Protocol):
    """Which table of embeddings belongs to a source."""

    space: str | None  # its name, if only one will do

    def table(self, source: Source) -> EmbeddingTable:
        """Opens it; where there is none, the error is the command that makes it."""


class StoredEmbeddings(Loadable):
    """The embeddings of a source by an encoder: its own, or those under `root`."""

    PATHS = ("root",)

    def __init__(self, *, root: str = "embeddings", space: str | None = None, encoder: str = "vit_bigg_14") -> None:
        """`space` chooses where a source was embedded by several encoders; `encoder` is what a remedy proposes."""
        self.root, self.space, self.encoder = Path(root), space, encoder

    def table(self, source: Source) -> EmbeddingTable:
        """Opens the table; where there is none, the error is the command that makes it."""
        ready = source.embeddings()
        if ready is not None:
            if self.space not in (None, ready.space.name):
                raise ValueError(
                    f"embeddings.space is {self.space}, but {source.name} comes with embeddings of {ready.space.name}. "
                    "Leave embeddings.space out."
                )
            return ready
        folder = self.root / source.name
        manifests = [TableManifest.read(path.parent) for path in sorted(folder.glob(f"*/{MANIFEST}"))]
        found = {manifest.space.name: manifest.folder for manifest in manifests}
        if self.space is not None:
            found = {name: path for name, path in found.items() if name == self.space}
        if not found:
            wanted = f" in the space {self.space}" if self.space else ""
            raise RunFirstError(
                f"there are no embeddings of {source.name}{wanted} under {folder}.",
                command=["python", "embed.py", f"source={source.name}", f"encoder={self.encoder}"],
                repeats=("source.", "embeddings.root="),
            )
        if len(found) > 1:
            raise ValueError(
                f"{source.name} has embeddings of several encoders: {', '.join(found)}. Choose one with "
                "embeddings.space=..."
            )
        table = EmbeddingTable.open(next(iter(found.values())))
        _require_pictures_of(table, source)
        return table


class RefinedEmbeddings(Loadable):
    """Embeddings that ratings have moved (`baselines.wals.export`), whatever the source brings along; a space of their
    own."""

    PATHS = ("folder",)

    def __init__(self, *, folder: str = "refined", space: str | None = None) -> None:
        """`space` is only checked: decoders and other tables of the space that was refined know nothing of this one."""
        self.folder, self.space = Path(folder), space

    def table(self, source: Source) -> EmbeddingTable:
        """Opens the table; where there is none, the error is the command that makes it, on the same training part."""
        if not (self.folder / MANIFEST).is_file():
            export = f"baselines.wals.export={self.folder}"
            raise RunFirstError(
                f"there are no refined embeddings in {self.folder}.",
                command=["python", "evaluate.py", f"source={source.name}", "predictors=[wals]", export],
                repeats=("source.", "data.splits."),
            )
        table = EmbeddingTable.open(self.folder)
        if self.space not in (None, table.space.name):
            raise ValueError(f"embeddings.space is {self.space}, but {self.folder} contains {table.space.name}")
        return table


def _require_pictures_of(table: EmbeddingTable, source: Source) -> None:
    """Refuses a table that was made of other pictures with the same ids, such as those of another table of ratings.

    Some are compared, evenly spread: that tells sets of pictures apart. (`python embed.py` compares all.)
    """
    if table.contents_N is None:
        return
    try:
        pictures = source.pictures()
    except ValueError:
        return  # they are not at hand, as on a machine that only trains: there is nothing to compare
    if pictures is None:
        return
    spread = pictures.ids[:: max(len(pictures.ids) // COMPARED, 1)]
    rows = {item: row for item in spread if (row := table.row_of.get(item)) is not None}
    if other := other_pictures(pictures, list(rows), table.contents_N[list(rows.values())]):
        raise ValueError(
            f"{table.folder} contains embeddings of other pictures with the same ids: of {len(rows)} "
            f"compared pictures, {len(other)} have changed since, such as {other[0]!r} of {source.name}. "
            "Give different sets of pictures different names (source.name=..., if the source has it). To "
            "replace the old embeddings: python embed.py ... changed=embed"
        )
