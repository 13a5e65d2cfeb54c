"""The users a gallery is for, with their histories; those of a data set. (`new_user` has those of none.)"""

from dataclasses import dataclass
from typing import Protocol

from prefprior.data.datamodule import PreferenceDataModule
from prefprior.data.pictures import Pictures
from prefprior.errors import nearest
from prefprior.history import History
from prefprior.seeding import seed_of

# The order in which a user's part is looked for: unseen parts say more than training.
PARTS = ("test", "val", "train")


@dataclass(frozen=True, eq=False)
class GalleryUser:
    """One user: a history of one, and the ids of its pictures in the same order."""

    name: str
    part: str
    history: History  # B = 1
    items: list[str]  # ids of the valid history entries
    ratings: list[float]  # in [-1, 1]
    pictures: Pictures | None  # where those ids are found


class GalleryUsers(Protocol):
    """Users a gallery can be made for, gathered a few at a time."""

    names: list[str]
    part: str  # for metrics: test, val, train, all or own

    def gather(self, names: list[str]) -> list[GalleryUser]:
        """Their histories."""


class DatasetUsers:
    """Users of a data set."""

    def __init__(
        self,
        data: PreferenceDataModule,
        *,
        users: str | list[str],
        length: int,
        count: int | None,
        seed: int,
    ) -> None:
        """`users`: ids, "all" or "unseen"; of the latter two at most `count`, chosen by hash."""
        self.data, self.length = data, length
        self._pictures = data.source.pictures()
        parts = {part: data.users(part) for part in PARTS if data.has_part(part)}
        self._part_of = {user: part for part in reversed(PARTS) for user in parts.get(part, [])}
        trained = set(parts.get("train", []))
        if users == "unseen":
            self.names = [u for u in self._part_of if u not in trained]
            if not self.names:
                raise ValueError(
                    f"{data.source.name} has no unseen users: every user has ratings in the training part. Choose "
                    "users=all, or give user ids."
                )
        elif users == "all":
            self.names = list(self._part_of)
        else:
            wanted = [str(u) for u in (users if isinstance(users, list) else [users])]
            for user in wanted:
                if user not in self._part_of:
                    raise ValueError(
                        f"{data.source.name} has no user {user!r}: give ids, or users=all or "
                        f"users=unseen{nearest(user, self._part_of)}"
                    )
            self.names = list(dict.fromkeys(wanted))
        if users in ("unseen", "all") and count is not None:
            self.names = sorted(self.names, key=lambda u: seed_of(seed, "chosen", u))[:count]
        if users in ("unseen", "all"):
            self.names.sort()
        self.part = users if users in ("unseen", "all") else "chosen"

    def gather(self, names: list[str]) -> list[GalleryUser]:
        """Histories from the user's own part, most recent or hash-chosen as the data's order says."""
        found: dict[str, GalleryUser] = {}
        for part in PARTS:
            here = [name for name in names if self._part_of[name] == part]
            if not here:
                continue
            history, _ = self.data.histories(part, here, self.length)
            for row, name in enumerate(here):
                found[name] = self._user(name, part, history.take([row]))
        return [found[name] for name in names]

    def _user(self, name: str, part: str, history: History) -> GalleryUser:
        valid = (history.valid_BK & ~history.passed_BK)[0]  # what was passed over was not disliked
        rows = history.items_BK[0][valid].tolist()
        ids = [self.data.catalogue.ids[row] for row in rows]
        return GalleryUser(name, part, history, ids, history.ratings_BK[0][valid].tolist(), self._pictures)
