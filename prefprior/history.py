"""What travels from the data to a prior or any other predictor.

Shapes: B users, K history, T targets per user, D dimension. Embeddings are raw projections of one space.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor


def gather_rows(table_ND: Tensor, rows: Tensor) -> Tensor:
    """(..., D) rows of a table of embeddings, in float32; zeros for a row of -1.

    The table may be memory-mapped: only what is asked for is read.
    """
    flat = rows.reshape(-1)
    there = (flat >= 0).nonzero().squeeze(1)
    if len(there) == len(flat):
        out = table_ND.index_select(0, flat).float()
    else:
        out = torch.zeros(len(flat), table_ND.shape[1])
        out[there] = table_ND.index_select(0, flat[there]).float()
    return out.reshape(*rows.shape, table_ND.shape[1])


@dataclass
class History:
    """The ratings a predictor may see for each of B users, padded to K; padding is wherever `valid_BK` is False.

    `from_rows` makes those of a data set and `of` that of one user's list: they know how padding is filled. Lightning
    cannot move a frozen dataclass, hence neither this class nor `PreferenceBatch` is frozen.
    """

    embeddings_BKD: Tensor  # float32, raw; zero where not valid, and never read there
    ratings_BK: Tensor  # float32 in [-1, 1], comparable between users; 1 loved, -1 hated
    ages_BK: Tensor  # float32 >= 0: how long ago, in steps of the user's own sequence (0 = most recent)
    valid_BK: Tensor  # bool
    items_BK: Tensor  # int64: row in the catalogue's table, -1 where unknown or not valid
    users: list[str]

    @classmethod
    def from_rows(
        cls,
        table_ND: Tensor,
        rows_BK: Tensor,
        ratings_BK: Tensor,
        users: list[str],
        *,
        items_BK: Tensor | None = None,
    ) -> "History":
        """Histories of a table's rows, each user's most recent first; a row of -1 is padding.

        `items_BK` are rows of the catalogue, where the table is another one.
        """
        valid_BK = rows_BK >= 0
        ages_BK = torch.arange(rows_BK.shape[1], dtype=torch.float32).expand(rows_BK.shape)
        items_BK = rows_BK if items_BK is None else items_BK
        return cls(
            embeddings_BKD=gather_rows(table_ND, rows_BK),
            ratings_BK=torch.where(valid_BK, ratings_BK, 0).float(),
            ages_BK=torch.where(valid_BK, ages_BK, 0),
            valid_BK=valid_BK,
            items_BK=torch.where(valid_BK, items_BK, -1).long(),
            users=users,
        )

    @classmethod
    def of(cls, embeddings_KD: Tensor, ratings_K: Sequence[float], *, ages_K: Sequence[float], user: str) -> "History":
        """The history of one user who brings their own pictures, which no catalogue knows; perhaps none."""
        count = len(embeddings_KD)
        if not count == len(ratings_K) == len(ages_K):
            raise ValueError(
                f"a history needs one rating and one age per picture, got {count} pictures, {len(ratings_K)} "
                f"ratings and {len(ages_K)} ages"
            )
        if bad := [rating for rating in ratings_K if not -1 <= rating <= 1]:
            raise ValueError(f"ratings must be in [-1, 1], got {bad[:5]}")
        # An empty history still has a place, which is not valid: no tensor is without columns.
        return cls(
            embeddings_BKD=(embeddings_KD.float() if count else torch.zeros(1, embeddings_KD.shape[1]))[None],
            ratings_BK=torch.tensor([ratings_K or [0.0]], dtype=torch.float32),
            ages_BK=torch.tensor([ages_K or [0.0]], dtype=torch.float32),
            valid_BK=torch.full((1, max(count, 1)), count > 0),
            items_BK=torch.full((1, max(count, 1)), -1),
            users=[user],
        )

    def __len__(self) -> int:
        return len(self.users)

    @property
    def liked_BK(self) -> Tensor:
        """Which history items are valid and liked."""
        return self.valid_BK & (self.ratings_BK > 0)

    @property
    def disliked_BK(self) -> Tensor:
        """Which history items are valid and disliked (a rating of exactly 0 is neither)."""
        return self.valid_BK & (self.ratings_BK < 0)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "History":
        """The same history on another device."""
        return self._each(lambda value: value.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "History":
        """Page-locked tensors, for a loader that feeds a GPU."""
        return self._each(lambda value: value.pin_memory())

    def take(self, rows: list[int] | Tensor) -> "History":
        """Some of the users."""
        index = torch.as_tensor(rows, dtype=torch.long)
        return replace(self._each(lambda value: value[index]), users=[self.users[int(i)] for i in index])

    def gather(self, index_BX: Tensor) -> "History":
        """Each user's ratings at these places of their history, padding included."""
        index_BXD = index_BX[..., None].expand(-1, -1, self.embeddings_BKD.shape[2])
        return self._each(lambda value: value.gather(1, index_BXD if value.ndim == 3 else index_BX))

    def empty(self) -> "History":
        """One empty history of an unknown user, padded like this one."""
        one = self.take([0])
        return replace(one, valid_BK=torch.zeros_like(one.valid_BK), users=[""])

    def last(self, count: int) -> "History":
        """Each user's `count` most recent valid ratings (smallest ages), padded to `count` at most."""
        age_BK = torch.where(self.valid_BK, self.ages_BK, torch.full_like(self.ages_BK, torch.inf))
        return self.gather(age_BK.argsort(dim=1, stable=True)[:, :count])

    def packed(self, multiple: int = 8) -> "History":
        """The same history with valid ratings first and columns that are padding for all users removed.

        The kept length is rounded up to a `multiple`, so that a compiled encoder meets few different shapes.
        """
        longest = int(self.valid_BK.sum(1).max()) if len(self) else 0
        kept = max(1, -(-longest // multiple) * multiple)
        if kept >= self.valid_BK.shape[1]:
            return self
        return self.gather((~self.valid_BK).to(torch.uint8).argsort(dim=1, stable=True)[:, :kept])

    def _each(self, change: Callable[[Tensor], Tensor]) -> "History":
        changed: dict[str, Any] = {f.name: change(getattr(self, f.name)) for f in fields(self) if f.name != "users"}
        return replace(self, **changed)


def hide_seen(scores_BN: Tensor, seen: History | Tensor, start: int = 0) -> Tensor:
    """Sets the scores of items that a user has seen to -inf, in place; the only such function.

    `seen` is a history, or catalogue rows (B, X) with -1 for none. Column 0 of the scores is the catalogue's row
    `start`.
    """
    rows_BX = seen if isinstance(seen, Tensor) else seen.items_BK.masked_fill(~seen.valid_BK, -1)
    column_BX = rows_BX - start
    inside_BX = (column_BX >= 0) & (column_BX < scores_BN.shape[1])
    user, place = inside_BX.nonzero(as_tuple=True)
    scores_BN[user, column_BX[user, place]] = -torch.inf
    return scores_BN


@dataclass
class PreferenceBatch:
    """Histories and, for each user, T ratings held out of them."""

    history: History
    target_BTD: Tensor  # float32, raw
    target_rating_BT: Tensor  # float32 in [-1, 1]
    target_valid_BT: Tensor  # bool: a user with fewer targets than T has the rest invalid
    target_item_BT: Tensor  # int64 row in the catalogue, -1 where not valid
    target_text_BTD: Tensor  # float32, raw, of the same CLIP; a row of zeros is no text, and D is 0 where none is asked
    target_weight_BT: Tensor | None = None  # float32, how much each counts in a loss; None: all the same

    @property
    def target_weights_BT(self) -> Tensor:
        """(B, T) float32 weights of the targets, 0 where they are not valid."""
        valid_BT = self.target_valid_BT.float()
        return valid_BT if self.target_weight_BT is None else valid_BT * self.target_weight_BT

    def __len__(self) -> int:
        return len(self.history)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "PreferenceBatch":
        """The same batch on another device."""
        return self._each(self.history.to(device, non_blocking), lambda x: x.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "PreferenceBatch":
        """Page-locked tensors, for a loader that feeds a GPU."""
        return self._each(self.history.pin_memory(), lambda x: x.pin_memory())

    def _each(self, history: History, change: Callable[[Tensor], Tensor]) -> "PreferenceBatch":
        given = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "history"}
        changed: dict[str, Any] = {name: change(value) for name, value in given.items() if value is not None}
        return PreferenceBatch(history=history, **changed)


def concatenate(batches: list[PreferenceBatch]) -> PreferenceBatch:
    """One batch of several, padded to the longest of them."""

    def cat(parts: list[Tensor], value: float) -> Tensor:
        width = max(part.shape[1] for part in parts)
        padded = []
        for part in parts:
            full = part.new_full((part.shape[0], width, *part.shape[2:]), value)
            full[:, : part.shape[1]] = part
            padded.append(full)
        return torch.cat(padded)

    def column(holders: list[History] | list[PreferenceBatch], name: str) -> Tensor:
        return cat([getattr(holder, name) for holder in holders], -1 if "item" in name else 0)

    histories = [batch.history for batch in batches]
    history = History(
        **{f.name: column(histories, f.name) for f in fields(History) if f.name != "users"},
        users=[user for h in histories for user in h.users],
    )
    names = [f.name for f in fields(PreferenceBatch) if f.name not in ("history", "target_weight_BT")]
    weighted = any(batch.target_weight_BT is not None for batch in batches)
    return PreferenceBatch(
        history=history,
        target_weight_BT=column(batches, "target_weights_BT") if weighted else None,
        **{name: column(batches, name) for name in names},
    )
