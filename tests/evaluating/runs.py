"""Overrides for small evaluations, and the output of one."""

from dataclasses import dataclass
from pathlib import Path

SMALL = (
    "scoreboard.lengths=[2,null]",
    "scoreboard.samples=3",
    "scoreboard.ks=[5,20]",
    "scoreboard.controls=[permuted]",
)
TABLE = ("source=table", "source.ratings=r.csv", "source.embeddings=e.npy", "source.items=ids.txt")
TINY = ("prior=tiny", "trainer.max_epochs=1", "data.epoch_batches=2", "data.batch_size=8", "callbacks=default")
ON_REFINED = ("experiment=table", *TABLE[1:], "embeddings=wals", *TINY)


@dataclass
class Finished:
    """The output of an evaluation."""

    folder: Path
    printed: str
    figures: dict[str, float]
    intervals: dict[str, dict[str, float]]
