"""An implicit log: clicks, likes, skips and watch time become ratings by stated rules.

Shapes: E events.
"""

from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from prefprior.data.columns.columns import Wanted
from prefprior.data.columns.read import read_columns
from prefprior.data.columns.values import ids, numbers, times
from prefprior.data.embedding.table import EmbeddingTable
from prefprior.data.pictures import Pictures
from prefprior.data.sources.event_filters import EventFilters, Events
from prefprior.data.sources.event_pages import Pages
from prefprior.data.sources.names import require_name
from prefprior.data.sources.table import offered_pictures, ready_made
from prefprior.data.sources.validate import SPACES, ratings_table
from prefprior.errors import nearest
from prefprior.nodes import Loadable
from prefprior.ratings import RatingScale, RatingsTable

COLUMNS = {name: name for name in ("user", "item", "event", "time", "dwell", "page")}
# What an event says, from -1 (hated) to 1 (loved). Views count by how long they were: see `EventsSource`.
WEIGHTS = {
    "like": 1.0,
    "save": 1.0,
    "share": 1.0,
    "purchase": 1.0,
    "click": 0.5,
    "view": 0.5,
    "impression": 0.0,
    "skip": -0.5,
    "dislike": -1.0,
    "hide": -1.0,
}


class EventsSource(Loadable):
    """A log with the columns user, item, event, time and, if known, dwell (seconds); CSV, TSV, JSONL or Parquet.

    The rating of a user and a picture is the sum of what their events say (`weights`), cut to -1 and 1. A view or
    click with a dwell below `short_dwell` was an accident and says nothing; a view below `long_dwell` says nothing
    either. Bursts and bots are taken out (`filters`); everything left out is counted. The log is your own.

    Items that a user was shown together have the same id in `page`, and an event each (an `impression`, where nothing
    else happened). They are a choice: those whose events there say something good were picked, the others passed over.
    """

    PATHS = ("log", "pictures", "embeddings", "items")

    def __init__(
        self,
        *,
        log: str,
        pictures: str | None = None,
        embeddings: str | None = None,
        items: str | None = None,
        space: str | None = None,
        name: str = "events",
        columns: dict[str, str] | None = None,
        weights: dict[str, float] | None = None,
        short_dwell: float = 1.0,
        long_dwell: float = 5.0,
        filters: EventFilters | None = None,
    ) -> None:
        """`pictures`, `embeddings`, `items` and `space` are as for `source=table`; `weights` adds to `WEIGHTS`."""
        self.name = require_name(name)
        if (embeddings is None) != (items is None) or (embeddings is None and pictures is None):
            raise ValueError(
                "source=events needs source.pictures=FOLDER, or source.embeddings=FILE.npy source.items=FILE.txt"
            )
        unknown = sorted(set(columns or {}) - set(COLUMNS))
        if unknown:
            raise ValueError(f"source.columns maps {', '.join(COLUMNS)}, not {', '.join(unknown)}")
        self.weights = {**WEIGHTS, **(weights or {})}
        if off := [f"{event}={weight:g}" for event, weight in self.weights.items() if not -1 <= weight <= 1]:
            raise ValueError(f"source.weights must be between -1 and 1, got {', '.join(off)}")
        if not 0 <= short_dwell <= long_dwell:
            raise ValueError(f"source.short_dwell ({short_dwell}) must not be above source.long_dwell ({long_dwell})")
        self.path = Path(log)
        self.pictures_path = None if pictures is None else Path(pictures)
        self.vectors_path = None if embeddings is None else Path(embeddings)
        self.items_path = None if items is None else Path(items)
        self.space_name = space or (self.vectors_path.stem if self.vectors_path else None)
        self.columns = {**COLUMNS, **(columns or {})}
        self.short_dwell, self.long_dwell = short_dwell, long_dwell
        self.filters = filters or EventFilters()

    def ratings(self) -> RatingsTable:
        """One rating per user and picture of the log, and one choice per user and page."""
        return self._ratings

    @cached_property
    def _ratings(self) -> RatingsTable:
        columns, spaces = read_columns(self.path, Wanted(self.columns, optional=("dwell", "page"))).stripped("user")
        user_E, users = ids(columns, "user")
        item_E, items = ids(columns, "item")
        event_E, kinds = ids(columns, "event")
        if strangers := [kind for kind in kinds if kind not in self.weights]:
            row = int(np.flatnonzero(event_E == list(kinds).index(strangers[0]))[0])
            raise ValueError(
                f"{columns.where(row)}: the event {strangers[0]!r} has no "
                f"weight{nearest(strangers[0], self.weights)}. Events with weights are "
                f"{', '.join(self.weights)}; add a weight with source.weights.{strangers[0]}=..."
            )
        time_E = times(columns)
        if np.isnan(time_E).any():
            rows = np.flatnonzero(np.isnan(time_E))
            raise ValueError(f"{columns.some(rows)}: the time is missing. Every event needs one; remove these rows.")
        dwell_E = numbers(columns, "dwell") if "dwell" in columns.values else np.full(len(columns), np.nan)
        if (dwell_E < 0).any():
            raise ValueError(
                f"{columns.some(np.flatnonzero(dwell_E < 0))}: the dwell time is below 0. It is in seconds."
            )
        counts: dict[str, int] = {SPACES: spaces} if spaces else {}
        weight_E = np.asarray([self.weights[kind] for kind in kinds])[event_E]
        # What only was shown is no act of a user, however fast and often.
        acts_E = np.asarray([kind != "impression" for kind in kinds])[event_E]
        act = np.flatnonzero(acts_E)
        kept = ~acts_E
        kept[act] = self.filters.keep(Events(user_E[act], item_E[act], event_E[act], time_E[act]), len(users), counts)
        pages = Pages.of(columns, user_E, item_E, kept & acts_E)
        viewed = np.isin(event_E, [i for i, kind in enumerate(kinds) if kind in ("view", "click")])
        short = viewed & (dwell_E < self.short_dwell)
        brief = np.isin(event_E, [i for i, kind in enumerate(kinds) if kind == "view"]) & ~(dwell_E >= self.long_dwell)
        counts["dwell time too short"] = int((short & kept).sum())
        counts["view too short to interpret"] = int((brief & ~short & kept).sum())
        kept &= ~short & ~brief

        alone = kept & (pages.question_E < 0)
        key_E = user_E.astype(np.int64) * len(items) + item_E
        key_R, first_R, of_E = np.unique(key_E[alone], return_index=True, return_inverse=True)
        shown = pages.shown(item_E, weight_E * kept)
        if len(key_R) + len(shown.row_S) == 0:
            why = ", ".join(f"{reason}: {count}" for reason, count in counts.items())
            raise ValueError(f"{self.path}: no usable events are left ({why}). Relax source.filters.")
        rating_R = np.clip(np.bincount(of_E, weights=weight_E[alone], minlength=len(key_R)), -1, 1)
        time_R = np.full(len(key_R), -np.inf)
        np.maximum.at(time_R, of_E, time_E[alone])
        counts["picture whose events cancel out"] = int((rating_R == 0).sum())
        told = rating_R != 0
        scale = RatingScale(-1, 1, 0.25)
        user_T = np.concatenate([key_R[told] // len(items), user_E[shown.row_S]])
        item_T = np.concatenate([key_R[told] % len(items), item_E[shown.row_S]])
        values = {"user": pa.array(users[user_T], pa.string()), "item": pa.array(items[item_T], pa.string())}
        made = columns.made(values, np.concatenate([np.flatnonzero(alone)[first_R[told]], shown.row_S]))
        return ratings_table(
            self.name,
            scale,
            made,
            rating_N=np.concatenate([rating_R[told], scale.as_chosen(shown.picked_S)]),
            time_N=np.concatenate([time_R[told], time_E[shown.row_S]]),
            question_N=np.concatenate([np.full(int(told.sum()), -1), pages.question_E[shown.row_S]]),
            counts=counts,
        )

    def pictures(self) -> Pictures | None:
        """The folder or the tars."""
        return self._pictures

    @cached_property
    def _pictures(self) -> Pictures | None:
        return None if self.pictures_path is None else offered_pictures(self.pictures_path, self.ratings())

    def embeddings(self) -> EmbeddingTable | None:
        """The ready-made vectors, measured and checked."""
        if self.vectors_path is None or self.items_path is None or self.space_name is None:
            return None
        return ready_made(self.space_name, self.vectors_path, self.items_path)
