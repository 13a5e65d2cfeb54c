"""Fixed groups of users, split among the processes of a run: what is made together is the same for any number."""

import lightning
import torch
from torch.utils.data import DataLoader

from prefprior.gallery.maker import GalleryMaker
from prefprior.gallery.manifest import is_complete


class GalleryModule(lightning.LightningModule):
    """Makes one group of users a step, on the process's own device."""

    def __init__(self, maker: GalleryMaker, movable: list[object]) -> None:
        """`movable`: what has a `to(device)` and should be where the process computes."""
        super().__init__()
        self.maker, self.movable = maker, movable

    def on_predict_start(self) -> None:
        """Moves decoder, prior and filter once."""
        for part in self.movable:
            part.to(self.device)  # type: ignore[attr-defined]

    def predict_step(self, batch: list[str], batch_idx: int) -> list[str]:
        """Makes one group. The step stays out of Lightning's autocast: dtypes are the decoder's own choice."""
        with torch.autocast(self.device.type, enabled=False):
            self.maker.make(batch)
        return batch


class GroupedUsers(lightning.LightningDataModule):
    """Groups with anything missing, one process taking every world_size-th of all groups."""

    def __init__(self, maker: GalleryMaker, *, size: int) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"people_at_once must be at least 1, got {size}")
        names, root = maker.users.names, maker.root
        if maker.interpolate:  # two users, who make one gallery
            whole = is_complete(root, maker.names_made[0])
            self.missing = [] if whole else [names]
        else:
            groups = [names[start : start + size] for start in range(0, len(names), size)]
            self.missing = [group for group in groups if not all(is_complete(root, name) for name in group)]
        # Looked up here and not later: all processes get here before any of them has made anything, so all deal alike.

    def predict_dataloader(self) -> DataLoader[list[str]]:
        """This process's groups."""
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        return DataLoader(self.missing[rank::world], batch_size=None)  # type: ignore[arg-type]
