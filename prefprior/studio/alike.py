"""People alike: those who let others find them, by how far their tastes agree."""

from collections.abc import Callable
from dataclasses import dataclass

from prefprior.studio.beliefs import state_of
from prefprior.studio.calls import Calls
from prefprior.studio.served import Served
from prefprior.studio.store.alike import Taste, Tastes
from prefprior.studio.store.impressions import Impressions
from prefprior.studio.store.people import Profile
from prefprior.studio.tasks import PATIENCE, computed

LEAST_ANSWERS = 5  # before, a taste is mostly that of a stranger
NEAREST = 5  # people who are listed


@dataclass(frozen=True)
class Near:
    """Somebody whose taste is like one's own."""

    profile: int
    agreement: float  # the correlation of what is expected of both


class Alike:
    """Reads and compares tastes: one job of milliseconds in the worker for each."""

    def __init__(
        self, stored: Calls, impressions: Impressions, tastes: Tastes, served_to: Callable[[Profile], Served]
    ) -> None:
        self._stored, self._impressions, self._tastes, self._served_to = stored, impressions, tastes, served_to

    async def read(self, profile: Profile) -> Taste | None:
        """A profile's taste as of now, kept for others to be compared with; None after few answers, or where it may not
        be found."""
        if not profile.findable:
            return None
        served, answers = self._served_to(profile), await self._stored(self._impressions.answered, profile)
        kept, state = await self._stored(self._tastes.of, profile), state_of(served.model, answers)
        if len(answers) < LEAST_ANSWERS:
            if kept is not None:  # answers were taken back
                await self._stored(self._tastes.drop, profile)
            return None
        if kept is not None and kept.state == state:
            return kept
        reader, utilities = await computed(
            served.inference, lambda inference: inference.expected(profile, answers), PATIENCE
        )
        taste = Taste(reader, state, utilities)
        await self._stored(self._tastes.keep, profile, taste)
        return taste

    async def nearest(self, profile: Profile) -> list[Near] | None:
        """The nearest few, nearest first; None where the profile has no taste to compare yet."""
        mine = await self.read(profile)
        if mine is None:
            return None
        others = await self._stored(self._tastes.others, profile, mine.reader)
        if not others:
            return []
        theirs = [other.taste.utilities for other in others]
        agreement = await computed(
            self._served_to(profile).inference, lambda inference: inference.agreement(mine.utilities, theirs), PATIENCE
        )
        found = [Near(other.profile, value) for other, value in zip(others, agreement, strict=True)]
        return sorted(found, key=lambda near: -near.agreement)[:NEAREST]

    async def found(self, profile: Profile, number: int) -> Profile | None:
        """A profile that this one may mix with: the tastes of both can be compared."""
        mine = await self.read(profile)
        if mine is None:
            return None
        other = await self._stored(self._tastes.found, profile, number, mine.reader)
        if other is None or len(await self._stored(self._impressions.answered, other)) < LEAST_ANSWERS:
            return None
        return other
