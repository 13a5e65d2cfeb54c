"""Embeddings that ratings have moved: what `baselines.wals.export` wrote, in the place of a source's own."""

import shlex
from pathlib import Path

from prefprior.config import chosen, overrides
from prefprior.data.embedding.table import MANIFEST, EmbeddingTable
from prefprior.data.sources.source import Source


class RefinedEmbeddings:
    """The embeddings in one folder, whatever the source brings along; they are a space of their own."""

    def __init__(self, *, folder: str = "refined", space: str | None = None) -> None:
        """`space` is only checked: decoders and other tables of the space that was refined know nothing of this one."""
        self.folder, self.space = Path(folder), space

    def table(self, source: Source) -> EmbeddingTable:
        """Opens the table; where there is none, the error is the command that makes it."""
        if not (self.folder / MANIFEST).is_file():
            raise ValueError(
                f"there are no refined embeddings in {self.folder}. Make them with:\n  {self.command(source)}"
            )
        table = EmbeddingTable.open(self.folder)
        if self.space not in (None, table.space.name):
            raise ValueError(f"embeddings.space is {self.space}, but {self.folder} holds {table.space.name}")
        return table

    def command(self, source: Source) -> str:
        """The command that refines what this command names, on the same training part."""
        words = [word for word in overrides() if word.startswith(("source.", "data.splits."))]
        name = chosen("source") or source.name
        export = f"baselines.wals.export={self.folder}"
        return shlex.join(["python", "evaluate.py", f"source={name}", *words, "predictors=[wals]", export])
