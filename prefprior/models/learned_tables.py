"""Buffers whose number of rows is learned: a checkpoint, not a constructor, says how many there are."""

from typing import Any

from torch import Tensor, nn


class LearnedTables(nn.Module):
    """A module with such buffers, all of the same number of rows; none before anything is learned or loaded."""

    def __init__(self, **empty: Tensor) -> None:
        """By name, each table without rows."""
        super().__init__()
        self._tables = tuple(empty)
        for name, table in empty.items():
            self.register_buffer(name, table)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        # The first table says how many rows there are. Any other that has more or fewer is refused by PyTorch.
        saved = state_dict.get(prefix + self._tables[0])
        if saved is not None:
            for name in self._tables:
                own = getattr(self, name)
                setattr(self, name, own.new_zeros(saved.shape[:1] + own.shape[1:]))
        super()._load_from_state_dict(state_dict, prefix, *rest)
