"""Pictures that nobody is shown: of the catalogue, by id, and made ones, by SHA-256."""

import asyncio
from collections.abc import Callable, Sequence

from starlette.concurrency import run_in_threadpool

from prefprior.studio.served import Served
from prefprior.studio.store.albums import is_name
from prefprior.studio.store.moderation import Moderation
from prefprior.studio.store.people import RefusedError
from prefprior.studio.store.tables import ITEM, MADE
from prefprior.studio.tasks import computed


class Hiding:
    """What is hidden, in memory and in the database."""

    def __init__(self, moderation: Moderation, served: Callable[[], Sequence[Served]]) -> None:
        """`served` says whose catalogue and decoders show pictures, at this moment; the catalogue is that of all."""
        self._moderation, self._served = moderation, served
        self._hidden = {kind: moderation.hidden(kind) for kind in (ITEM, MADE)}
        self._deciding = asyncio.Lock()

    @property
    def items(self) -> frozenset[str]:
        """Of the catalogue."""
        return self._hidden[ITEM]

    @property
    def made(self) -> frozenset[str]:
        """Made ones."""
        return self._hidden[MADE]

    async def decide(self, kind: str, name: str, *, hide: bool) -> None:
        """Shows a picture to nobody any more, or to everybody again; an item also where a decoder shows real ones."""
        if not (name in self._served()[0].known if kind == ITEM else is_name(name)):
            raise RefusedError("there is no such picture")
        names = {(kind, name)}
        for served in self._served() if kind == ITEM else ():
            if (shown := await computed(served.painter, lambda painter: painter.shows(name))) is not None:
                names.add((MADE, shown))
        async with self._deciding:
            for each, which in names:
                old = self._hidden[each]
                self._hidden[each] = old | {which} if hide else old - {which}  # first: no new question has it
                await run_in_threadpool(self._moderation.hide if hide else self._moderation.keep, each, which)
