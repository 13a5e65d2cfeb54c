"""What is believed of a profile once the network has looked as often as its answers make it."""

import asyncio
from collections.abc import Sequence
from weakref import WeakValueDictionary

from prefprior.elicitation.belief import Belief
from prefprior.studio.beliefs import Look
from prefprior.studio.inference import Inference, Sampling
from prefprior.studio.store.impressions import Impression
from prefprior.studio.store.people import Profile
from prefprior.studio.tasks import computed
from prefprior.studio.worker import BusyError, Worker

FULL_SECONDS = 0.5  # until a job that must run is tried again


class Settling:
    """Looks of the network, one at a time for each profile."""

    def __init__(self, inference: Worker[Inference], sampling: Worker[Sampling]) -> None:
        self._inference, self._sampling = inference, sampling
        self._looks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    async def settled(self, profile: Profile, answers: Sequence[Impression]) -> Belief:
        """The belief after these answers."""
        async with self._looks.setdefault(profile.id, asyncio.Lock()):
            while True:
                now = await computed(self._inference, lambda inference: inference.believed(profile, answers))
                look = now.look
                if look is None:
                    return now.belief
                await self._looked(look)

    async def _looked(self, look: Look) -> None:
        belief = await computed(self._sampling, lambda sampling: sampling.look(look))
        await computed(self._inference, lambda inference: inference.beliefs.looked(look, belief))

    async def forgotten(self, profile: Profile) -> None:
        """Leaves memory, however full the queue is."""
        while self._inference.is_alive:
            try:
                return await computed(self._inference, lambda inference: inference.beliefs.forget(profile.id))
            except BusyError:
                await asyncio.sleep(FULL_SECONDS)
