"""The studio as a service: questions, answers, pictures and rankings of profiles, for pages and platforms alike.

Runs in the event loop and computes nothing there: the database is asked in threads, the model and the decoder in
workers.
"""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from starlette.concurrency import run_in_threadpool

from prefprior.data.decoding import BadPictureError
from prefprior.data.pictures import Pictures
from prefprior.elicitation.belief import Belief
from prefprior.elicitation.questions import Kind
from prefprior.seeding import seed_of
from prefprior.studio.beliefs import Look, state_of
from prefprior.studio.inference import Inference, Ranked, Sampling
from prefprior.studio.painter import Painter, png
from prefprior.studio.store.database import Database
from prefprior.studio.store.impressions import Given, Impression, Impressions, places_of
from prefprior.studio.store.people import People, Person, Profile
from prefprior.studio.store.strips import Strip, Strips
from prefprior.studio.store.tokens import Tokens
from prefprior.studio.worker import BusyError, Worker

Held = TypeVar("Held")
Result = TypeVar("Result")
PATIENCE = 20.0  # seconds until a request gives up; what it waited for goes on, and the next request finds it
LONGEST = 600.0  # seconds that a job may wait and run
PICTURES_KEPT = 2000  # of the catalogue, as PNG


class UnfitError(ValueError):
    """An answer that does not fit its question."""


@dataclass(frozen=True)
class Offer:
    """What can be asked."""

    kinds: dict[str, Kind]  # by the name of the page: nine, pair, rate
    levels: tuple[float, ...]  # the ratings that can be given


class Studio:
    """One database, one model with its decoder, one catalogue of pictures."""

    def __init__(
        self, *, database: Database, inference: Inference, sampling: Sampling, painter: Painter, offer: Offer,
        pictures: Pictures, waiting: int = 64,
    ) -> None:  # fmt: skip
        """At most `waiting` jobs wait for each worker."""
        self.database, self.offer = database, offer
        self.model, self.decoder = inference.model, painter.decoder.identity
        self.inference = Worker(inference, name="inference", waiting=waiting)
        self.sampling = Worker(sampling, name="sampling", waiting=waiting)
        self.painter = Worker(painter, name="decoding", waiting=waiting)
        self.people, self.impressions = People(database), Impressions(database)
        self.strips, self.tokens = Strips(database), Tokens(database)
        self._known = frozenset(sampling.catalogue.ids)
        self._pictures = _Drawn(pictures)
        self._turns: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        self._looks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        self._running: dict[str, asyncio.Task[Any]] = {}

    async def question(self, profile: Profile, mode: str, request_key: str | None = None) -> Impression:
        """The question that waits, or the next one; with a key, one for each key."""
        kind = str(self.offer.kinds[mode])
        async with self._turn(profile):
            if request_key is not None:
                found = await run_in_threadpool(self.impressions.requested, profile, request_key)
            else:
                found = await run_in_threadpool(self.impressions.waiting, profile, kind)
            if found is not None:
                return found
            answers = await run_in_threadpool(self.impressions.answered, profile)
            seed = seed_of(profile.seed, "question", await run_in_threadpool(self.impressions.asked, profile))
            draw, thin = await _computed(
                self.inference, lambda inference: inference.ask(profile, answers, kind, seed), PATIENCE
            )
            if thin:
                self._begun(f"belief {profile.id}", lambda: self._settled(profile, answers))
            return await run_in_threadpool(self.impressions.record, profile, draw, request_key)

    async def answer(
        self,
        profile: Profile,
        question: Impression,
        *,
        rating: float | None = None,
        picked: Sequence[str] = (),
        latency: float | None = None,
    ) -> bool:
        """Keeps an answer; False where the same one is there already."""
        given = self._given(question, rating, picked)
        async with self._turn(profile):
            return await run_in_threadpool(self.impressions.answer, profile, question.id, given, latency)

    async def undo(self, profile: Profile, number: int | None = None) -> Impression | None:
        """Takes an answer back; None where there is none."""
        async with self._turn(profile):
            return await run_in_threadpool(self.impressions.undo, profile, number)

    async def strip(self, profile: Profile) -> Strip:
        """What is made for a profile now: the kept strip, or a new one where it has answered since."""
        answers = await run_in_threadpool(self.impressions.answered, profile)
        kept = await run_in_threadpool(self.strips.of, profile)
        state = self.state(answers)
        if kept is not None and kept.state == state:
            return kept
        return await self._shared(f"strip {profile.id} {state}", lambda: self._made(profile, answers, state))

    async def _made(self, profile: Profile, answers: Sequence[Impression], state: str) -> Strip:
        seed = seed_of(profile.seed, "made", state)
        belief = await self._settled(profile, answers)
        drawn = await _computed(self.sampling, lambda sampling: sampling.draw(belief, seed))
        pictures = await _computed(self.painter, lambda painter: painter.paint(drawn.raw_nD, seed))
        made = Strip(
            state, len(answers), self.model, self.decoder, seed, drawn.concentration, drawn.sure, pictures
        )  # fmt: skip
        await run_in_threadpool(self.strips.replace, profile, made)
        return made

    async def kept_strip(self, profile: Profile) -> tuple[Strip | None, bool]:
        """The last strip, and whether it knows all answers."""
        answers = await run_in_threadpool(self.impressions.answered, profile)
        kept = await run_in_threadpool(self.strips.of, profile)
        return kept, kept is not None and kept.state == self.state(answers)

    async def ranking(self, profile: Profile, start: int, count: int) -> Ranked:
        """A part of the catalogue, best first."""
        answers = await run_in_threadpool(self.impressions.answered, profile)
        belief = await self._shared(
            f"belief {profile.id} {self.state(answers)}", lambda: self._settled(profile, answers)
        )
        return await _computed(self.sampling, lambda sampling: sampling.rank(belief, start, count))

    @property
    def workers(self) -> tuple[Worker[Inference], Worker[Sampling], Worker[Painter]]:
        """For what is asked, for the network and for the decoder."""
        return self.inference, self.sampling, self.painter

    @property
    def is_alive(self) -> bool:
        """Whether all workers take jobs."""
        return all(worker.is_alive for worker in self.workers)

    def close(self) -> None:
        """Ends after what waits is done."""
        for worker in self.workers:
            worker.close()
        self.database.close()

    def cancel(self) -> None:
        """Gives up what nobody waits for."""
        for task in self._running.values():
            task.cancel()

    async def start_over(self, profile: Profile) -> None:
        """Deletes the answers of a profile."""
        async with self._turn(profile):
            await run_in_threadpool(self.people.start_over, profile)
        self._forget(profile)

    async def delete_profile(self, profile: Profile) -> None:
        """Deletes a profile."""
        await run_in_threadpool(self.people.delete_profile, profile)
        self._forget(profile)

    async def delete(self, person: Person) -> None:
        """Deletes a person."""
        await run_in_threadpool(self.people.delete, person)
        for profile in person.profiles:
            self._forget(profile)

    async def picture(self, item: str) -> bytes | None:
        """A picture of the catalogue as PNG; None where there is none such."""
        return await run_in_threadpool(self._pictures.open, item) if item in self._known else None

    def state(self, answers: Sequence[Impression]) -> str:
        """What a strip of these answers is known by."""
        return state_of(self.model, answers)

    def _given(self, question: Impression, rating: float | None, picked: Sequence[str]) -> Given:
        if question.is_rating:
            if picked or rating not in self.offer.levels:
                allowed = ", ".join(f"{level:g}" for level in self.offer.levels)
                raise UnfitError(f"the answer to this question is a rating, one of {allowed}")
            return Given(rating=rating)
        if rating is not None:
            raise UnfitError("the answer to this question is a choice, not a rating")
        if foreign := [item for item in picked if item not in question.items]:
            raise UnfitError(f"{foreign[0][:80]!r} was picked, but not shown in this question")
        if len(set(picked)) != len(picked):
            raise UnfitError("an item was picked twice")
        if not picked and not Kind.named(question.kind).none:
            raise UnfitError("nothing was picked, but this question has no answer 'none of these'")
        return Given(picked=places_of(question.items, picked))

    def _turn(self, profile: Profile) -> asyncio.Lock:
        """One request of a profile at a time: two at once would be asked the same."""
        return self._turns.setdefault(profile.id, asyncio.Lock())

    async def _settled(self, profile: Profile, answers: Sequence[Impression]) -> Belief:
        """What is believed once the network has looked as often as the answers make it."""
        async with self._looks.setdefault(profile.id, asyncio.Lock()):
            while True:
                now = await _computed(self.inference, lambda inference: inference.believed(profile, answers))
                if now.look is None:
                    return now.belief
                await self._taken(now.look)

    async def _taken(self, look: Look) -> None:
        belief = await _computed(self.sampling, lambda sampling: sampling.look(look))
        await _computed(self.inference, lambda inference: inference.beliefs.looked(look, belief))

    async def _shared(self, name: str, work: Callable[[], Coroutine[None, None, Result]]) -> Result:
        """What some work gives, which goes on when whoever asked for it is gone, and is never done twice at once."""
        try:
            return await asyncio.wait_for(asyncio.shield(self._begun(name, work)), PATIENCE)
        except TimeoutError:
            raise BusyError("this takes a while: try again soon") from None

    def _begun(self, name: str, work: Callable[[], Coroutine[None, None, Result]]) -> "asyncio.Task[Result]":
        task, loop = self._running.get(name), asyncio.get_running_loop()
        if task is None or task.done() or task.get_loop() is not loop:
            task = self._running[name] = loop.create_task(work())
            task.add_done_callback(lambda done: self._ended(name, done))
        return task

    def _ended(self, name: str, task: "asyncio.Task[Any]") -> None:
        if self._running.get(name) is task:
            del self._running[name]
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, BusyError):
            raise error  # asyncio logs it

    def _forget(self, profile: Profile) -> None:
        try:
            self.inference.submit(lambda inference: inference.beliefs.forget(profile.id))
        except BusyError:  # the last ones seen push it out of memory
            return


async def _computed(worker: Worker[Held], job: Callable[[Held], Result], patience: float = LONGEST) -> Result:
    """What a job gives, or `BusyError`."""
    try:
        return await asyncio.wait_for(asyncio.wrap_future(worker.submit(job)), patience)
    except TimeoutError:
        raise BusyError("the model takes too long") from None


class _Drawn:
    """The catalogue's pictures as PNG; opened one at a time, since a source need not bear more."""

    def __init__(self, pictures: Pictures) -> None:
        self._pictures, self._kept = pictures, OrderedDict[str, bytes | None]()
        self._lock = threading.Lock()

    def open(self, item: str) -> bytes | None:
        """None for a picture that cannot be read."""
        with self._lock:
            if item in self._kept:
                self._kept.move_to_end(item)
                return self._kept[item]
            try:
                found = png(self._pictures.open(item))
            except BadPictureError:
                found = None
            self._kept[item] = found
            while len(self._kept) > PICTURES_KEPT:
                self._kept.popitem(last=False)
            return found
