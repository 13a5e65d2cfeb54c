"""Which of a user's ratings are history and which are targets, drawn for a whole batch at once.

A user's ratings lie in time order at positions 0..n-1. Of these the first `past` may only be history and the rest only
targets (a user known from training, tested on held-out ratings); `past` 0 means that the draw itself parts them.
Shapes: B users, K history, T targets.
"""

from dataclasses import dataclass

import numpy as np

from prefprior.data.hashing import fraction, mix, permuted
from prefprior.data.histories.answers import DrawnFrom
from prefprior.errors import require_choice
from prefprior.nodes import Loadable

ORDERS = ("set", "time")
WEIGHTINGS = ("uniform", "ips")
SEARCHED = 64  # how far beyond history and targets a draw looks for an answer that may be a target
# Names of the independent random numbers of one draw.
_LENGTH, _SHORT, _CUT, _SHUFFLE, _SHUFFLE_PAST, _SHOWN, _PICKS = range(1, 8)


@dataclass(frozen=True, kw_only=True)
class DrawRule(Loadable):
    """How histories and targets are drawn."""

    history_cap: int = 64  # the longest history; a choice counts as many as it shows
    targets_per_user: int = 4  # the most targets of one user in one draw
    order: str = "set"  # "set": any ratings, shuffled; "time": targets follow the history
    short_histories: float = 0.5  # the share of draws whose history has a uniformly drawn length, as newcomers' have
    # The share of draws whose history is of pictures that the user was shown, and whose targets are of the rest.
    shown_histories: float = 0.0
    # The share of draws whose history has, of a question, only what was picked, as a like. Histories of imagined users
    # hold nothing else, and many more questions fit into a history than with all that they showed.
    picks_alone: float = 0.0
    weighting: str = "uniform"  # of targets in losses: "uniform", or "ips", by inverse propensity
    least_propensity: float = 0.05  # with "ips": smaller ones count as this, for a few large weights are mostly noise

    def __post_init__(self) -> None:
        require_choice("order", self.order, ORDERS)
        if self.history_cap < 1 or self.targets_per_user < 1:
            raise ValueError(
                "history_cap and targets_per_user must be at least 1, got "
                f"{self.history_cap} and {self.targets_per_user}"
            )
        for name in ("short_histories", "shown_histories", "picks_alone"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be between 0 and 1, got {getattr(self, name)}")
        require_choice("weighting", self.weighting, WEIGHTINGS)
        if not 0 < self.least_propensity <= 1:
            raise ValueError(f"least_propensity must be above 0 and at most 1, got {self.least_propensity}")
        if self.shown_histories and self.order == "time":
            raise ValueError(
                "shown_histories splits ratings by how they came about, which is not their order in time: give "
                "order=set, or leave shown_histories out"
            )


@dataclass(frozen=True)
class Draw:
    """Positions in each user's own sequence; the most recent of the history stands first. -1 where there is none."""

    history_BK: np.ndarray
    target_BT: np.ndarray


def draw(
    rule: DrawRule, count_B: np.ndarray, past_B: np.ndarray, key_B: np.ndarray, answers: DrawnFrom | None = None
) -> Draw:
    """Draws history and target for users with `count_B` ratings; a draw depends only on its key, not the batch.

    With `answers`, counts and positions are of answers, of which not all may be targets.
    """
    count, past = count_B.astype(np.int64), past_B.astype(np.int64)
    known = past > 0
    free = count - past if answers is None else answers.able_B  # what may be targets
    # A draw that parts one sequence leaves at least half of it to the history; a single rating is a target.
    targets = np.minimum(rule.targets_per_user, np.where(known, free, np.maximum(count // 2, np.minimum(count, 1))))
    targets = targets if answers is None else np.minimum(targets, free)
    cap = np.full_like(count, rule.history_cap) if answers is None else answers.fits_B
    if rule.order == "time":
        # Where the first target is, among what may be one.
        earliest = np.where(known, 0, np.minimum(1, free - targets))
        room = np.where(known, 1, free - targets - earliest + 1)
        first = earliest + (mix(key_B, _CUT) % room.astype(np.uint64)).astype(np.int64)
        cut = past + first if answers is None else answers.place_of(first[:, None])[:, 0]
        cut = np.where(targets > 0, cut, np.where(known, past, count))
        longest = np.minimum(np.where(known, past, cut), cap)
    else:
        cut = past
        longest = np.minimum(np.where(known, past, count - targets), cap)
    shortened = (1 + mix(key_B, _LENGTH) % np.maximum(longest, 1).astype(np.uint64)).astype(np.int64)
    is_short = fraction(mix(key_B, _SHORT)) < rule.short_histories
    length = np.where(is_short, np.minimum(shortened, longest), longest)

    k = np.arange(max(int(length.max(initial=0)), 1))[None]
    t = np.arange(max(int(targets.max(initial=0)), 1))[None]
    has_k, has_t = k < length[:, None], t < targets[:, None]
    if rule.order == "time":
        history = np.where(known, past, cut)[:, None] - 1 - k
        target = cut[:, None] + t if answers is None else answers.place_of(np.where(has_t, first[:, None] + t, 0))
    else:
        # Index 0.. of one permutation are the targets and the next ones the history, so that none is both.
        shuffle = mix(key_B, _SHUFFLE)
        rank = np.where(known[:, None], k, k + targets[:, None])
        history = permuted(
            np.where(has_k, rank, 0),
            np.maximum(np.where(known, past, count), 1),
            np.where(known, mix(key_B, _SHUFFLE_PAST), shuffle),
        )
        target = permuted(np.where(has_t, t, 0), np.maximum(free, 1), shuffle) + past[:, None]
        if answers is not None:
            ranked = permuted(np.where(has_t, t, 0), np.maximum(free, 1), shuffle)
            both = _parted(answers, count, shuffle, length, targets)
            history, target = (
                np.where(known[:, None], one, other)
                for one, other in zip((history, answers.place_of(ranked)), both, strict=True)
            )
    return Draw(np.where(has_k, history, -1), np.where(has_t, target, -1))


def _parted(
    answers: DrawnFrom, count: np.ndarray, shuffle: np.ndarray, length: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Histories and targets of one permutation: the first that may be targets are, and the first others are history."""
    width = int(min((length + targets).max(initial=1) + SEARCHED, count.max(initial=1)))
    rank = np.arange(max(width, 1))[None]
    there = rank < count[:, None]
    place = permuted(np.where(there, rank, 0), np.maximum(count, 1), shuffle)
    able = answers.may_be_target(place) & there
    is_target = able & (able.cumsum(1) <= targets[:, None])

    def first(chosen: np.ndarray, most: int) -> np.ndarray:
        order = np.argsort(~chosen, axis=1, kind="stable")[:, :most]
        found = np.where(np.take_along_axis(chosen, order, 1), np.take_along_axis(place, order, 1), -1)
        return np.pad(found, ((0, 0), (0, most - found.shape[1])), constant_values=-1)

    longest, most = (max(int(each.max(initial=0)), 1) for each in (length, targets))
    return first(there & ~is_target, longest), first(is_target, most)


def inverse_propensity(rule: DrawRule, propensity_BT: np.ndarray) -> np.ndarray:
    """(B, T) weights of targets: one over the clipped probability with which each was observed.

    A loss divides by the sum of its weights (self-normalised estimator: Swaminathan & Joachims 2015), so that only
    ratios of propensities count.
    """
    return (1 / np.maximum(propensity_BT, rule.least_propensity)).astype(np.float32)


def is_of_shown(rule: DrawRule, key_B: np.ndarray) -> np.ndarray:
    """(B,) bool: which draws have histories of what was shown, where there is any."""
    return fraction(mix(key_B, _SHOWN)) < rule.shown_histories


def is_of_picks(rule: DrawRule, key_B: np.ndarray) -> np.ndarray:
    """(B,) bool: which draws have histories without what was passed over."""
    return fraction(mix(key_B, _PICKS)) < rule.picks_alone
