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
    """The ratings and choices a predictor may see for each of B users, padded to K; padding is wherever `valid_BK` is
    False.

    Items that were shown together for one choice share a number in `question_BK`: those that were picked (one, several
    or none of them) have a rating of 1 there, the others of -1, and all have the same age. A rating is a question of
    one item, and has the number 0.
    `from_rows` makes those of a data set and `of` that of one user's list: they know how padding is filled. Lightning
    cannot move a frozen dataclass, hence neither this class nor `PreferenceBatch` is frozen.
    """

    embeddings_BKD: Tensor  # float32, raw; zero where not valid, and never read there
    ratings_BK: Tensor  # float32 in [-1, 1], comparable between users; 1 loved, -1 hated
    ages_BK: Tensor  # float32 >= 0: how long ago, in steps of the user's own sequence (0 = most recent)
    valid_BK: Tensor  # bool
    items_BK: Tensor  # int64: row in the catalogue's table, -1 where unknown or not valid
    users: list[str]
    question_BK: Tensor = None  # type: ignore[assignment]  # int64: 0 for a rating, or the user's own number of a choice

    def __post_init__(self) -> None:
        if self.question_BK is None:  # ratings only
            self.question_BK = torch.zeros_like(self.items_BK)

    @classmethod
    def from_rows(
        cls,
        table_ND: Tensor,
        rows_BK: Tensor,
        ratings_BK: Tensor,
        users: list[str],
        *,
        items_BK: Tensor | None = None,
        question_BK: Tensor | None = None,
    ) -> "History":
        """Histories of a table's rows, each user's most recent first; a row of -1 is padding.

        `items_BK` are rows of the catalogue, where the table is another one. Items of one question are adjacent.
        """
        valid_BK = rows_BK >= 0
        ages_BK = torch.arange(rows_BK.shape[1], dtype=torch.float32).expand(rows_BK.shape)
        if question_BK is not None:
            question_BK = torch.where(valid_BK, question_BK, 0)
            same_BK = torch.zeros_like(valid_BK)  # as the one before: an answer is one step, however much it shows
            same_BK[:, 1:] = (question_BK[:, 1:] > 0) & (question_BK[:, 1:] == question_BK[:, :-1])
            ages_BK = ages_BK - same_BK.cumsum(1)
        items_BK = rows_BK if items_BK is None else items_BK
        return cls(
            embeddings_BKD=gather_rows(table_ND, rows_BK),
            ratings_BK=torch.where(valid_BK, ratings_BK, 0).float(),
            ages_BK=torch.where(valid_BK, ages_BK, 0),
            valid_BK=valid_BK,
            items_BK=torch.where(valid_BK, items_BK, -1).long(),
            users=users,
            question_BK=question_BK,  # type: ignore[arg-type]
        )

    @classmethod
    def of(
        cls,
        embeddings_KD: Tensor,
        ratings_K: Sequence[float],
        *,
        ages_K: Sequence[float],
        user: str,
        question_K: Sequence[int] | None = None,
    ) -> "History":
        """The history of one user who brings their own pictures, which no catalogue knows; perhaps none.

        `question_K` has equal numbers above 0 for pictures that were shown together, of which those with a rating of 1
        were picked, and 0 for ratings.
        """
        count = len(embeddings_KD)
        if not count == len(ratings_K) == len(ages_K):
            raise ValueError(
                f"a history needs one rating and one age per picture, got {count} pictures, {len(ratings_K)} "
                f"ratings and {len(ages_K)} ages"
            )
        if bad := [rating for rating in ratings_K if not -1 <= rating <= 1]:
            raise ValueError(f"ratings must be in [-1, 1], got {bad[:5]}")
        if question_K is not None:
            _require_questions(ratings_K, ages_K, question_K)
        # An empty history still has a place, which is not valid: no tensor is without columns.
        return cls(
            embeddings_BKD=(embeddings_KD.float() if count else torch.zeros(1, embeddings_KD.shape[1]))[None],
            ratings_BK=torch.tensor([ratings_K or [0.0]], dtype=torch.float32),
            ages_BK=torch.tensor([ages_K or [0.0]], dtype=torch.float32),
            valid_BK=torch.full((1, max(count, 1)), count > 0),
            items_BK=torch.full((1, max(count, 1)), -1),
            users=[user],
            question_BK=torch.tensor([list(question_K or []) or [0] * max(count, 1)]),
        )

    def __len__(self) -> int:
        return len(self.users)

    @property
    def rated_BK(self) -> Tensor:
        """Which entries are ratings."""
        return self.valid_BK & (self.question_BK == 0)

    @property
    def picked_BK(self) -> Tensor:
        """Which items were picked among those that were shown with them."""
        return self.valid_BK & (self.question_BK > 0) & (self.ratings_BK > 0)

    @property
    def passed_BK(self) -> Tensor:
        """Which items were passed over: shown for a choice, and not picked."""
        return self.valid_BK & (self.question_BK > 0) & (self.ratings_BK <= 0)

    @property
    def liked_BK(self) -> Tensor:
        """Which items are liked: rated above 0, or picked."""
        return self.valid_BK & (self.ratings_BK > 0)

    @property
    def disliked_BK(self) -> Tensor:
        """Which items are disliked: rated below 0. A rating of exactly 0 is neither, and what was passed over is not
        disliked: something else was better."""
        return self.rated_BK & (self.ratings_BK < 0)

    @property
    def has_questions(self) -> bool:
        """Whether anything but ratings is in these histories."""
        return bool((self.valid_BK & (self.question_BK > 0)).any())

    def as_ratings(self) -> "History":
        """Without questions: a pick is a rating of 1, and what was passed over is padding.

        For predictors that know ratings only.
        """
        if not self.has_questions:
            return self
        return replace(self, valid_BK=self.valid_BK & ~self.passed_BK, question_BK=torch.zeros_like(self.question_BK))

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
        """Each user's most recent valid entries (smallest ages), `count` at most; a question is kept whole, or left out
        with all that is older."""
        age_BK = torch.where(self.valid_BK, self.ages_BK, torch.full_like(self.ages_BK, torch.inf))
        if not self.has_questions:
            return self.gather(age_BK.argsort(dim=1, stable=True)[:, :count])
        order_BK = self.question_BK.argsort(dim=1, stable=True)
        order_BK = order_BK.gather(1, age_BK.gather(1, order_BK).argsort(dim=1, stable=True))
        whole = self.gather(order_BK)
        recent = self.gather(order_BK[:, :count])
        if count >= order_BK.shape[1]:
            return recent
        # Only the last question of those kept can go on beyond them.
        question_B1, next_B1 = recent.question_BK[:, -1:], whole.question_BK[:, count : count + 1]
        cut_B1 = (question_B1 > 0) & (question_B1 == next_B1) & whole.valid_BK[:, count : count + 1]
        return replace(recent, valid_BK=recent.valid_BK & ~(cut_B1 & (recent.question_BK == question_B1)))

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
    target_picked_BT: Tensor | None = None  # bool: picked among others, which is no rating; None: all are ratings

    @property
    def target_weights_BT(self) -> Tensor:
        """(B, T) float32 weights of the targets, 0 where they are not valid."""
        valid_BT = self.target_valid_BT.float()
        return valid_BT if self.target_weight_BT is None else valid_BT * self.target_weight_BT

    @property
    def target_rated_BT(self) -> Tensor:
        """(B, T) which targets are valid and ratings."""
        picked_BT = self.target_picked_BT
        return self.target_valid_BT if picked_BT is None else self.target_valid_BT & ~picked_BT

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
    optional = ("target_weight_BT", "target_picked_BT")
    names = [f.name for f in fields(PreferenceBatch) if f.name not in ("history", *optional)]
    weighted, chosen = (any(getattr(batch, name) is not None for batch in batches) for name in optional)
    picked = [
        torch.zeros_like(b.target_valid_BT) if b.target_picked_BT is None else b.target_picked_BT for b in batches
    ]
    return PreferenceBatch(
        history=history,
        target_weight_BT=column(batches, "target_weights_BT") if weighted else None,
        target_picked_BT=cat(picked, False) if chosen else None,
        **{name: column(batches, name) for name in names},
    )


def _require_questions(ratings_K: Sequence[float], ages_K: Sequence[float], question_K: Sequence[int]) -> None:
    if len(question_K) != len(ratings_K):
        raise ValueError(
            f"a history needs one question number per picture (0 for a rating), got {len(question_K)} for "
            f"{len(ratings_K)} pictures"
        )
    for number in sorted(set(question_K) - {0}):
        shown = [k for k, own in enumerate(question_K) if own == number]
        if number < 0 or len(shown) < 2:
            raise ValueError(
                f"question {number} shows {len(shown)} pictures; a question has a number above 0 and shows at least 2. "
                "A picture by itself is a rating: question 0"
            )
        if wrong := sorted({ratings_K[k] for k in shown} - {-1, 1}):
            raise ValueError(
                f"in question {number} a picture has the rating {wrong[0]:g}; it must be 1 if it was picked, -1 if not"
            )
        if len({ages_K[k] for k in shown}) > 1:
            raise ValueError(f"the pictures of question {number} must have the same age: they were shown together")
