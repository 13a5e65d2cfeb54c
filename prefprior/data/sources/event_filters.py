"""Removes from a log what no human did on purpose: repeats, bursts and bots.

Shapes: E events, U users.
"""

from dataclasses import dataclass

import numpy as np

from prefprior.nodes import Loadable

SECONDS_A_DAY = 86400.0


@dataclass(frozen=True)
class Events:
    """A log in columns of codes."""

    user_E: np.ndarray
    item_E: np.ndarray
    event_E: np.ndarray
    time_E: np.ndarray  # seconds since 1970


class EventFilters(Loadable):
    """Which events to believe."""

    def __init__(
        self,
        *,
        burst: int = 20,
        burst_seconds: float = 5.0,
        bot_events_a_day: int = 5000,
        bot_regularity: float = 0.02,
        bot_least_events: int = 50,
    ) -> None:
        """A burst is `burst` events of one user within `burst_seconds`; a bot has more than `bot_events_a_day` events
        in a day, or at least `bot_least_events` whose gaps vary by less than `bot_regularity` of their mean."""
        if min(burst, bot_events_a_day, bot_least_events) < 2 or min(burst_seconds, bot_regularity) < 0:
            raise ValueError("filters need counts of at least 2 events, and seconds and shares of at least 0")
        self.burst, self.burst_seconds = burst, burst_seconds
        self.bot_events_a_day, self.bot_regularity, self.bot_least_events = (
            bot_events_a_day,
            bot_regularity,
            bot_least_events,
        )

    def keep(self, events: Events, users: int, counts: dict[str, int]) -> np.ndarray:
        """(E,) bool; what is left out is added to `counts`."""
        order = np.lexsort((events.event_E, events.item_E, events.time_E, events.user_E))
        user, time = events.user_E[order], events.time_E[order]
        same_user = np.concatenate([[False], user[1:] == user[:-1]])
        repeat = same_user.copy()
        for column in (events.item_E, events.event_E, events.time_E):
            values = column[order]
            repeat[1:] &= values[1:] == values[:-1]
        burst = self._bursts(user, time)
        bot_U = self._bots(user, time, same_user, users)
        bot = bot_U[user]
        counts["repeated event"] = int((repeat & ~bot).sum())
        counts["event in a burst"] = int((burst & ~repeat & ~bot).sum())
        counts["event of a bot"] = int(bot.sum())
        counts["bot"] = int(bot_U.sum())
        kept = np.empty(len(order), dtype=bool)
        kept[order] = ~(repeat | burst | bot)
        return kept

    def _bursts(self, user: np.ndarray, time: np.ndarray) -> np.ndarray:
        in_burst = np.zeros(len(user) + 1, dtype=np.int64)
        last = np.arange(self.burst - 1, len(user))
        first = last - (self.burst - 1)
        dense = (user[last] == user[first]) & (time[last] - time[first] <= self.burst_seconds)
        np.add.at(in_burst, first[dense], 1)
        np.add.at(in_burst, last[dense] + 1, -1)
        return np.cumsum(in_burst)[:-1] > 0

    def _bots(self, user: np.ndarray, time: np.ndarray, same_user: np.ndarray, users: int) -> np.ndarray:
        bots = np.zeros(users, dtype=bool)
        day = np.floor(time / SECONDS_A_DAY)
        new = ~same_user | np.concatenate([[True], day[1:] != day[:-1]])
        starts = np.flatnonzero(new)
        a_day = np.diff(np.append(starts, len(user)))
        bots[user[starts[a_day > self.bot_events_a_day]]] = True
        gap, of = np.diff(time)[same_user[1:]], user[1:][same_user[1:]]
        count = np.bincount(of, minlength=users)
        mean = np.bincount(of, weights=gap, minlength=users) / np.maximum(count, 1)
        spread = np.sqrt(np.bincount(of, weights=(gap - mean[of]) ** 2, minlength=users) / np.maximum(count, 1))
        return bots | ((count + 1 >= self.bot_least_events) & (spread < self.bot_regularity * mean))
