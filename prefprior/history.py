"""What travels from the data to a prior or any other predictor.

Shapes: B users, K history, T targets per user, D dimension. Embeddings are raw projections of one space.
"""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass
class History:
    """The ratings a predictor may see for each of B users, padded to K; padding is wherever `valid_BK` is False.

    Lightning cannot move a frozen dataclass, hence neither this class nor `PreferenceBatch` is frozen.
    """

    embeddings_BKD: Tensor  # float32, raw; zero where not valid, and never read there
    ratings_BK: Tensor  # float32 in [-1, 1], comparable between people; 1 loved, -1 hated
    ages_BK: Tensor  # float32 >= 0: how long ago, in steps of the person's own sequence (0 = most recent)
    valid_BK: Tensor  # bool
    items_BK: Tensor  # int64: row in the catalogue's table, -1 where unknown or not valid
    users: list[str]

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
        moved = {
            f.name: getattr(self, f.name).to(device, non_blocking=non_blocking)
            for f in fields(self)
            if isinstance(getattr(self, f.name), Tensor)
        }
        return replace(self, **moved)

    def take(self, rows: list[int] | Tensor) -> "History":
        """Some of the users."""
        index = torch.as_tensor(rows, dtype=torch.long)
        picked = {
            f.name: getattr(self, f.name)[index] for f in fields(self) if isinstance(getattr(self, f.name), Tensor)
        }
        return replace(self, **picked, users=[self.users[int(i)] for i in index])

    def empty(self) -> "History":
        """One empty history of an unknown user, padded like this one."""
        one = self.take([0])
        return replace(one, valid_BK=torch.zeros_like(one.valid_BK), users=[""])

    def last(self, count: int) -> "History":
        """Each user's `count` most recent valid ratings (smallest ages), padded to `count` at most."""
        count = min(count, self.valid_BK.shape[1])
        age = torch.where(self.valid_BK, self.ages_BK, torch.full_like(self.ages_BK, torch.inf))
        index_BC = age.argsort(dim=1, stable=True)[:, :count]
        return History(
            embeddings_BKD=self.embeddings_BKD.gather(
                1, index_BC[..., None].expand(-1, -1, self.embeddings_BKD.shape[2])
            ),
            ratings_BK=self.ratings_BK.gather(1, index_BC),
            ages_BK=self.ages_BK.gather(1, index_BC),
            valid_BK=self.valid_BK.gather(1, index_BC),
            items_BK=self.items_BK.gather(1, index_BC),
            users=self.users,
        )


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

    def __len__(self) -> int:
        return len(self.history)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "PreferenceBatch":
        """The same batch on another device."""
        return PreferenceBatch(
            history=self.history.to(device, non_blocking),
            **{
                f.name: getattr(self, f.name).to(device, non_blocking=non_blocking)
                for f in fields(self)
                if f.name != "history"
            },
        )

    def pin_memory(self) -> "PreferenceBatch":
        """Page-locked tensors, for a loader that feeds a GPU."""
        history = replace(
            self.history,
            **{
                f.name: getattr(self.history, f.name).pin_memory()
                for f in fields(self.history)
                if isinstance(getattr(self.history, f.name), Tensor)
            },
        )
        rest = {f.name: getattr(self, f.name).pin_memory() for f in fields(self) if f.name != "history"}
        return PreferenceBatch(history=history, **rest)


def join(batches: list[PreferenceBatch]) -> PreferenceBatch:
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
    return PreferenceBatch(
        history=history, **{f.name: column(batches, f.name) for f in fields(PreferenceBatch) if f.name != "history"}
    )
