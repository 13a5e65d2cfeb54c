"""Where a source's embeddings are found: those that come with it, or the folder that `python embed.py` filled."""

import shlex
from pathlib import Path

from prefprior.config import chosen, overrides
from prefprior.data.embedding.table import MANIFEST, EmbeddingTable, read_manifest
from prefprior.data.sources.source import Source


def embedding_folder(root: str | Path, source_name: str, space_name: str) -> Path:
    """The folder of a source's embeddings in one space, by convention."""
    return Path(root) / source_name / space_name.replace("/", "__")


class StoredEmbeddings:
    """Finds the embeddings of a source."""

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
        found = {
            read_manifest(path.parent)["space"]["name"]: path.parent for path in sorted(folder.glob(f"*/{MANIFEST}"))
        }
        if self.space is not None:
            found = {name: path for name, path in found.items() if name == self.space}
        if not found:
            wanted = f" in the space {self.space}" if self.space else ""
            raise ValueError(
                f"there are no embeddings of {source.name}{wanted} under {folder}. Make them with:\n"
                f"  {self.command(source)}"
            )
        if len(found) > 1:
            raise ValueError(
                f"{source.name} was embedded by several encoders: {', '.join(found)}. "
                "Choose one with embeddings.space=..."
            )
        return EmbeddingTable.open(next(iter(found.values())))

    def command(self, source: Source) -> str:
        """The command that embeds the source as this command names it."""
        words = [word for word in overrides() if word.startswith(("source.", "embeddings.root="))]
        name = chosen("source") or source.name
        return shlex.join(["python", "embed.py", f"source={name}", f"encoder={self.encoder}", *words])
