"""Which users and which of their ratings an evaluation is over.

unseen        users of the test (else validation) part who were never trained on; their first ratings are the history
seen          users who were trained on, and what was held out of them; their training ratings are the history
unseen_items  held-out items are only pictures without training ratings
train         users who were trained on, over ratings that were trained on: how much was memorised
<part>        a part of the data by its own name (val, test, test_unseen, ...): seen and unseen users together
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from prefprior.data.datamodule import PreferenceDataModule
from prefprior.data.hashing import fraction, id_hashes
from prefprior.data.held_out import HeldOutUsers, first_share
from prefprior.errors import nearest
from prefprior.predictor import TrainingPart
from prefprior.ratings import RatingsTable

KINDS = ("unseen", "seen", "unseen_items", "train")


@dataclass(frozen=True)
class HistoryCut:
    """Where an unseen user's ratings are cut into history and held out: after a share, or a number, of them."""

    share: float = 0.5
    count: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"history_share must be between 0 and 1, got {self.share}")
        if self.count is not None and self.count < 1:
            raise ValueError(f"history_first must be at least 1, got {self.count}")

    def history_mask(self, table: RatingsTable) -> np.ndarray:
        """(N,) bool: which ratings are history."""
        return first_share(table, self.share, self.count)


# What to do about a part that a split by users leaves empty.
REMEDIES = {
    "seen": "It needs a split that holds out ratings of training users: train with data.splits.by=item "
    "or data.splits.by=time, or evaluate part=unseen.",
    "unseen_items": "It needs pictures without training ratings: train with data.splits.by=item, or evaluate "
    "part=unseen.",
}


def select(data: PreferenceDataModule, part: str | None, cut: HistoryCut, cap: int) -> tuple[str, HeldOutUsers]:
    """The users of a part; default: `unseen`, or `seen` if all users were trained on. Returns the part too."""
    if part is None:
        part = "unseen" if len(_unseen(data, held_part(data))) else "seen"
    known = [*KINDS, *data.part_names, "val", "test"]
    if part not in known:
        raise ValueError(f"part is {part!r}; it must be one of {', '.join(dict.fromkeys(known))}{nearest(part, known)}")
    people = people_of(data, part, cut, cap)
    if len(people) == 0:
        raise ValueError(
            f"the part {part} of {data.source.name} has no user with both a history and held-out ratings. "
            + REMEDIES.get(part, f"Choose another part (the parts are {', '.join(dict.fromkeys(known))}).")
        )
    return part, people


def held_part(data: PreferenceDataModule) -> str:
    """The part that is kept for evaluation: test, else validation."""
    for name in ("test", "val"):
        if data.has_part(name):
            return name
    raise ValueError(f"{data.source.name} has neither a test nor a validation part; choose splits.by=user")


def fitting_parts(data: PreferenceDataModule, part: str) -> tuple[TrainingPart, TrainingPart | None]:
    """What baselines may learn from: the training part, and the validation part unless it is what is evaluated. What
    was picked is a like to them; they are not told what was passed over."""
    training = TrainingPart(data.part("train").as_ratings(), data.catalogue)
    evaluated = held_part(data) if part in KINDS else part
    if part == "train" or evaluated.startswith("val") or not data.has_part("val"):
        return training, None
    return training, TrainingPart(data.part("val").as_ratings(), data.catalogue)


def for_tuning(
    data: PreferenceDataModule, part: str, people: HeldOutUsers, cut: HistoryCut, cap: int
) -> tuple[HeldOutUsers, str, HeldOutUsers, str]:
    """The users whom settings are compared on, and those whom figures are of; each with what they are called.

    The first are the validation part's. Where those are evaluated themselves, a half of them by hash chooses and the
    other half reports: what chooses a setting does not report it.
    """
    evaluated = held_part(data) if part in KINDS and part != "train" else part
    if data.has_part("val") and not evaluated.startswith("val"):
        _, choosing = select(data, "val", cut, cap)
        return choosing, "val", people, part
    chooses = torch.from_numpy(fraction(id_hashes(people.users, salt="tuning")) < 0.5)
    halves = [people.take(rows.nonzero()[:, 0]) for rows in (chooses, ~chooses)]
    return halves[0], f"{part} (first half)", halves[1], f"{part} (second half)"


def people_of(data: PreferenceDataModule, part: str, cut: HistoryCut, cap: int) -> HeldOutUsers:
    train = data.part("train")
    if part == "train":
        return _split(data, train, cut, cap)
    table = data.part(held_part(data) if part in KINDS else part)
    unseen = ~np.isin(table.user_N, train.user_N)
    # Histories of training users are their whole training part; those of all others are cut from their own ratings.
    first = unseen & cut.history_mask(table)
    if part == "unseen":
        before, after = table.take(np.flatnonzero(first)), table.take(np.flatnonzero(unseen & ~first))
    elif part == "seen":
        before, after = train, table.take(np.flatnonzero(~unseen))
    else:
        before, after = _joined(data, train, table, first), table.take(np.flatnonzero(~first))
    people = HeldOutUsers.of(before, after, data.catalogue, data.scale, cap)
    if part == "unseen_items":
        rated = torch.from_numpy(np.unique(train.item_N).astype(np.int64))
        people = people.where(~torch.isin(people.held_item_BT, rated))
    return people


def _split(data: PreferenceDataModule, table: RatingsTable, cut: HistoryCut, cap: int) -> HeldOutUsers:
    first = cut.history_mask(table)
    before, after = table.take(np.flatnonzero(first)), table.take(np.flatnonzero(~first))
    return HeldOutUsers.of(before, after, data.catalogue, data.scale, cap)


def _unseen(data: PreferenceDataModule, part: str) -> np.ndarray:
    return np.setdiff1d(data.part(part).user_N, data.part("train").user_N)


def _joined(data: PreferenceDataModule, train: RatingsTable, table: RatingsTable, first: np.ndarray) -> RatingsTable:
    own = table.take(np.flatnonzero(first))
    # One user's rows are all of one or all of the other table.
    question_N = None
    if train.question_N is not None and own.question_N is not None:
        question_N = np.concatenate([train.question_N, own.question_N])
    return replace(
        train,
        user_N=np.concatenate([train.user_N, own.user_N]),
        item_N=np.concatenate([train.item_N, own.item_N]),
        rating_N=np.concatenate([train.rating_N, own.rating_N]),
        time_N=None,
        part_N=None,
        question_N=question_N,
        shown_N=None,
        propensity_N=None,
    )
