"""Lightning's checkpoints, written as all files here are: whole, or not at all."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from prefprior.files import written_whole


class WholeCheckpoints(TorchCheckpointIO):
    """Writes beside the target and renames.

    Lightning writes into the system's temporary folder and moves the file: where that is another disk, moving is
    copying, and what is interrupted leaves half a checkpoint under the name from which a run is resumed.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Writes all of it."""
        with written_whole(path) as part:
            try:
                torch.save(checkpoint, part)
            except RuntimeError as error:  # how torch reports a full disk
                raise OSError("it could not be written to its end") from error
