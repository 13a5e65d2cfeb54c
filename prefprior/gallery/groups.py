"""Fixed groups of people, split among the processes of a run: what is made together is the same for any number."""

import lightning
import torch
from torch.utils.data import DataLoader

from prefprior.gallery.maker import Maker
from prefprior.gallery.manifest import is_complete


class GalleryModule(lightning.LightningModule):
    """Makes one group of people a step, on the process's own device."""

    def __init__(self, maker: Maker, movable: list[object]) -> None:
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


class GroupedPeople(lightning.LightningDataModule):
    """Groups with anything missing, one process taking every world_size-th of all groups."""

    def __init__(self, maker: Maker, *, size: int) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"people_at_once must be at least 1, got {size}")
        names = maker.folk.names
        self.maker = maker
        self.groups = [names[start : start + size] for start in range(0, len(names), size)]

    @property
    def missing(self) -> list[list[str]]:
        """Groups that are not whole yet."""
        root = self.maker.root
        if self.maker.interpolate:  # the group is two people, who make one gallery
            return [] if is_complete(root, self.maker.names_made[0]) else self.groups
        return [group for group in self.groups if not all(is_complete(root, name) for name in group)]

    def predict_dataloader(self) -> DataLoader:
        """This process's groups."""
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        mine = self.missing[rank::world]
        return DataLoader(mine, batch_size=None, collate_fn=None)  # type: ignore[arg-type]
