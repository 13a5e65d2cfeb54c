"""The protocol every source of ratings keeps."""

from typing import Protocol, runtime_checkable

from prefprior.data.embedding.table import EmbeddingTable
from prefprior.data.pictures import Pictures
from prefprior.ratings import RatingsTable


@runtime_checkable
class Source(Protocol):
    """Where ratings and pictures come from; reading happens in the methods, construction is cheap."""

    name: str  # a word that may stand in a file name: the folder of its embeddings

    def ratings(self) -> RatingsTable:
        """The validated ratings."""

    def pictures(self) -> Pictures | None:
        """The pictures, or None where only embeddings are known."""

    def embeddings(self) -> EmbeddingTable | None:
        """Embeddings that come with the source, or None where `python embed.py` makes them."""
