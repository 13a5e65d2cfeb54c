"""Buffers whose number of rows is learned: it comes from the checkpoint, not from the constructor."""

from typing import Any

from torch import Tensor, nn


class LearnedTables(nn.Module):
    """A module with such buffers, all with the same number of rows: 0 before learning or loading."""

    def __init__(self, **empty: Tensor) -> None:
        """Empty tables by name: each has the dtype and shape of a filled one, with 0 rows."""
        super().__init__()
        self._tables = tuple(empty)
        for name, table in empty.items():
            self.register_buffer(name, table)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        # The first table determines the number of rows. PyTorch refuses any other table of another size.
        saved = state_dict.get(prefix + self._tables[0])
        if saved is not None:
            for name in self._tables:
                own = getattr(self, name)
                setattr(self, name, own.new_zeros(saved.shape[:1] + own.shape[1:]))
        super()._load_from_state_dict(state_dict, prefix, *rest)
