"""Lightning's checkpoints, written as all files here are: whole, or not at all; and read only if undamaged."""

import zipfile
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
        with written_whole(path, RuntimeError) as part:  # the latter is how torch reports a full disk
            torch.save(checkpoint, part)

    def load_checkpoint(self, path: str | Path, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Reads what `save_checkpoint` wrote."""
        require_undamaged(path)
        return super().load_checkpoint(path, *args, **kwargs)


def require_undamaged(path: str | Path) -> None:
    """Compares a checkpoint with the checksums that torch puts beside each tensor, and itself does not look at."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError) as error:
        damaged = str(error)
    if damaged is not None:
        raise ValueError(
            f"{path} is damaged ({damaged}). Restore it from a backup if there is one. Otherwise delete "
            "the file and give the same command: training then starts from the beginning."
        )
