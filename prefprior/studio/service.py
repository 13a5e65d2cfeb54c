"""The studio as a service: questions, answers, pictures and rankings of profiles, for pages and platforms alike.

Runs in the event loop and computes nothing there: the database is asked in threads, the model and the decoder in
workers.
"""

import asyncio
import itertools
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from anyio import CapacityLimiter, to_thread
from starlette.concurrency import run_in_threadpool
from torch import Tensor

from prefprior.data.decoding import BadPictureError
from prefprior.data.pictures import Pictures
from prefprior.elicitation.belief import Belief
from prefprior.elicitation.questions import Kind
from prefprior.seeding import seed_of
from prefprior.studio.beliefs import Look, state_of
from prefprior.studio.inference import Inference, Making, Ranked, Sampling
from prefprior.studio.painter import Painter, Request, png
from prefprior.studio.store.albums import GALLERY, STRIP, Album, Albums, Picture
from prefprior.studio.store.database import Database
from prefprior.studio.store.figures import Figures
from prefprior.studio.store.impressions import ConflictError, Given, Impression, Impressions, liked_in, places_of
from prefprior.studio.store.invitations import Invitations
from prefprior.studio.store.moderation import ITEM, MADE, Moderation
from prefprior.studio.store.people import People, Person, Profile
from prefprior.studio.store.tokens import Tokens
from prefprior.studio.wishes import Wish, WishError, Wishes
from prefprior.studio.worker import BusyError, Worker

Held = TypeVar("Held")
Result = TypeVar("Result")
Job = tuple[str, tuple[int, ...], str]  # what is done, from the answers of which profiles, and which these are
FORGETTING = "forget"
TOLD = (BusyError, WishError)  # to whoever asked, and no mistakes of ours
PATIENCE = 20.0  # seconds until a request gives up; what it waited for goes on, and the next request finds it
LONGEST = 600.0  # seconds that a job may wait and run
FULL_SECONDS = 0.5  # until a job that must run is tried again
REPLACED_KEPT = 512  # pictures
BYTES_KEPT = 1 << 28  # of the catalogue's pictures, as PNG
SIDE = 640  # pixels of the longer side at most: pages show them smaller


class UnfitError(ValueError):
    """An answer that does not fit its question."""


@dataclass(frozen=True)
class Offer:
    """What can be asked."""

    kinds: dict[str, Kind]  # by the name of the page: nine, pair, rate, roam
    levels: tuple[float, ...]  # the ratings that can be given
    wishes: Wishes = field(default_factory=Wishes)  # what can be asked of a gallery


@dataclass
class Progress:
    """How many pictures are made."""

    total: int
    done: int = 0


class Studio:
    """One database, one model with its decoder, one catalogue of pictures."""

    def __init__(
        self, *, database: Database, inference: Inference, sampling: Sampling, painter: Painter, offer: Offer,
        pictures: Pictures, making: Making | None = None, waiting: int = 256,
    ) -> None:  # fmt: skip
        """At most `waiting` jobs wait for each worker."""
        self.database, self.offer, self.making = database, offer, making or Making()
        self.model, self.decoder = inference.model, painter.decoder.identity
        self.inference = Worker(inference, name="inference", waiting=waiting)
        self.sampling = Worker(sampling, name="sampling", waiting=waiting, yields=True)
        self.painter = Worker(painter, name="decoding", waiting=waiting, yields=True)
        self.people, self.impressions = People(database), Impressions(database)
        self.albums, self.tokens = Albums(database), Tokens(database)
        self.moderation, self.invitations, self.figures = Moderation(database), Invitations(database), Figures(database)
        self._hidden = {kind: self.moderation.hidden(kind) for kind in (ITEM, MADE)}
        self._known = frozenset(sampling.catalogue.ids)
        self._pictures, self._opening = _Drawn(pictures), CapacityLimiter(1)
        self._turns: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        self._looks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        self._running: dict[Job, asyncio.Task[Any]] = {}
        self._deletions = itertools.count()
        self._progress: dict[tuple[int, str], Progress] = {}
        self._replaced = _Replaced()

    async def question(
        self, profile: Profile, mode: str, request_key: str | None = None, *, near_D: Tensor | None = None
    ) -> Impression:
        """The question that waits, or the next one; with a key, one for each key; always another one among pictures
        most like `near_D`."""
        async with self._turn(profile):
            page = mode if near_D is None else None
            standing = await run_in_threadpool(
                self.impressions.standing, profile, page=page, request_key=request_key
            )  # fmt: skip
            if standing.found is not None:
                if standing.found.page != mode:
                    raise ConflictError("this key was used for a question of another kind: use a new one")
                return standing.found
            answers, seed = standing.answers, seed_of(profile.seed, "question", standing.asked)
            draw, thin = await _computed(
                self.inference,
                lambda inference: inference.ask(profile, answers, mode, seed, near_D=near_D, hidden=self._hidden[ITEM]),
                PATIENCE,
            )
            if thin:
                self._begun(("settle", (profile.id,), ""), lambda: self._settled(profile, answers))
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

    async def strip(self, profile: Profile) -> Album:
        """What is made for a profile now: the kept strip, or a new one where it has answered since."""
        return await self._album(profile, STRIP, Wish(diversity=self.making.diversity), self.making.n)

    async def gallery(self, profile: Profile, wish: Wish, other: Profile | None = None) -> Album:
        """Pictures as they were wished for, kept until others are; with another profile, for both tastes."""
        self.offer.wishes.require(wish)
        return await self._album(profile, GALLERY, wish, self.making.gallery, other)

    async def _album(self, profile: Profile, kind: str, wish: Wish, n: int, other: Profile | None = None) -> Album:
        both = [profile] if other is None else [profile, other]
        async with self._turns_of(both):  # a deletion comes before all of this, or ends what is begun here
            answers = await run_in_threadpool(self.impressions.answered, profile)
            others = None if other is None else await run_in_threadpool(self.impressions.answered, other)
            kept = await run_in_threadpool(self.albums.of, profile, kind)
            state = state_of(self.model, answers, wish.plain(), n)
            if others is not None:
                state = state_of(state, others)
            if kept is not None and kept.state == state:
                return kept
            second = None if other is None or others is None else (other, others)
            job: Job = (kind, tuple(each.id for each in both), state)
            if kind == GALLERY and job not in self._running:  # one at a time
                self.cancel_gallery(profile)
            made = self._begun(job, lambda: self._made(profile, answers, kind, state, wish, n, second))
        return await _shared(made)

    async def _made(
        self, profile: Profile, answers: Sequence[Impression], kind: str, state: str, wish: Wish, n: int,
        second: tuple[Profile, Sequence[Impression]] | None,
    ) -> Album:  # fmt: skip
        told = wish.plain()
        seed = seed_of(profile.seed, kind, state if kind == STRIP else wish.seed)
        place = self._progress[profile.id, kind] = Progress(n)
        try:
            belief = await self._settled(profile, answers)
            liked = liked_in(answers, self.offer.levels)
            other = None if second is None else await self._settled(*second)
            if other is not None:
                alike = await _computed(self.inference, lambda inference: inference.alike(belief, other))
                told["alike"] = round(alike, 3)
            drawn = await _computed(self.sampling, lambda sampling: sampling.draw(belief, seed, liked, n, wish, other))
            request = Request(drawn.raw_nD, seed, drawn.negative_nD, wish.prompt or None, self._hidden[ITEM])
            contents: list[bytes] = []
            for first in range(0, n, self.making.at_once):  # others' pictures come between
                places = range(first, min(first + self.making.at_once, n))
                contents += await _computed(self.painter, partial(Painter.paint, request=request, places=places))
                place.done = len(contents)
        finally:
            self._progress.pop((profile.id, kind), None)
        embeddings = drawn.raw_nD.float().numpy().astype("<f4")
        pictures = [
            Picture(content, row.tobytes(), why)
            for content, row, why in zip(contents, embeddings, drawn.why, strict=True)
        ]  # fmt: skip
        made = Album(
            state, len(answers), self.model, self.decoder, seed, drawn.concentration, drawn.sure, tuple(pictures), told
        )  # fmt: skip
        before = await run_in_threadpool(self.albums.of, profile, kind)
        await run_in_threadpool(self.albums.replace, profile, made, kind)
        if before is not None:
            self._replaced.keep(profile, before)
        return made

    async def made_picture(self, person: Person, name: str) -> Picture | None:
        """A picture that was made for a person, or was a moment ago: pages that show it may still be loading."""
        found = await run_in_threadpool(self.albums.picture, person, name)
        return self._replaced.find(person, name) if found is None else found

    async def kept_strip(self, profile: Profile) -> tuple[Album | None, bool]:
        """The last strip, and whether it knows all answers."""
        answers = await run_in_threadpool(self.impressions.answered, profile)
        kept = await run_in_threadpool(self.albums.of, profile)
        wish = Wish(diversity=self.making.diversity)
        return kept, kept is not None and kept.state == state_of(self.model, answers, wish.plain(), self.making.n)

    def progress(self, profile: Profile) -> "Progress | None":
        """How far a profile's gallery is; None where none is being made."""
        return self._progress.get((profile.id, GALLERY))

    def cancel_gallery(self, profile: Profile) -> None:
        """Pictures of a gallery that are not begun are not made."""
        for (work, numbers, _), task in list(self._running.items()):
            if (work, numbers[0]) == (GALLERY, profile.id):
                task.cancel()

    async def embedding_of_item(self, item: str) -> Tensor | None:
        """The raw embedding of a picture of the catalogue."""
        return await _computed(self.inference, lambda inference: inference.embedding(item), PATIENCE)

    async def ranking(self, profile: Profile, start: int, count: int) -> Ranked:
        """A part of the catalogue, best first."""
        async with self._turn(profile):
            answers = await run_in_threadpool(self.impressions.answered, profile)
            believed = self._begun(
                ("belief", (profile.id,), state_of(self.model, answers)), lambda: self._settled(profile, answers)
            )  # fmt: skip
        belief = await _shared(believed)
        return await _computed(self.sampling, lambda sampling: sampling.rank(belief, start, count, self._hidden[ITEM]))

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
        async with self._deleting(profile):
            await run_in_threadpool(self.people.start_over, profile)

    async def delete_profile(self, profile: Profile) -> None:
        """Deletes a profile."""
        async with self._deleting(profile):
            await run_in_threadpool(self.people.delete_profile, profile)

    async def delete(self, person: Person) -> None:
        """Deletes a person."""
        async with self._deleting(*person.profiles):
            await run_in_threadpool(self.people.delete, person)

    async def picture(self, item: str, *, even_hidden: bool = False) -> bytes | None:
        """A picture of the catalogue as PNG; None where there is none such."""
        if item not in self._known or (item in self._hidden[ITEM] and not even_hidden):
            return None
        # By a limit of their own: they are opened one at a time, and the database's threads must not wait for that.
        return await to_thread.run_sync(self._pictures.open, item, limiter=self._opening)

    def hidden(self, kind: str) -> frozenset[str]:
        """Pictures that are shown to nobody."""
        return self._hidden[kind]

    def is_hidden(self, kind: str, name: str) -> bool:
        """Whether a picture is shown to nobody."""
        return name in self._hidden[kind]

    async def report(self, profile: Profile, question: Impression, item: str) -> None:
        """Keeps a report of a picture of a question, which is asked no more."""
        if item not in question.items:
            raise UnfitError("this picture was not shown in this question")
        async with self._turn(profile):
            await run_in_threadpool(self.moderation.report, profile, ITEM, item)
            await run_in_threadpool(self.impressions.withdraw, profile, question.id)

    async def decide(self, kind: str, name: str, *, hide: bool) -> None:
        """Shows a picture to nobody any more, or to everybody again."""
        decided = self.moderation.hide if hide else self.moderation.keep
        await run_in_threadpool(decided, kind, name)
        self._hidden[kind] = await run_in_threadpool(self.moderation.hidden, kind)

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

    def _begun(self, name: Job, work: Callable[[], Coroutine[None, None, Result]]) -> "asyncio.Task[Result]":
        """Work that goes on when whoever asked for it is gone, and is never done twice at once."""
        task, loop = self._running.get(name), asyncio.get_running_loop()
        if task is None or task.done() or task.get_loop() is not loop:
            task = self._running[name] = loop.create_task(work())
            task.add_done_callback(lambda done: self._ended(name, done))
        return task

    def _ended(self, name: Job, task: "asyncio.Task[Any]") -> None:
        if self._running.get(name) is task:
            del self._running[name]
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, TOLD):
            raise error  # asyncio logs it

    @asynccontextmanager
    async def _turns_of(self, profiles: Sequence[Profile]) -> AsyncIterator[None]:
        """The turns of several profiles, always taken in the same order."""
        async with AsyncExitStack() as turns:
            for profile in sorted(profiles, key=lambda each: each.id):
                await turns.enter_async_context(self._turn(profile))
            yield

    @asynccontextmanager
    async def _deleting(self, *profiles: Profile) -> AsyncIterator[None]:
        """In the turn of each profile; then what is still computed from their answers ends, and they leave memory."""
        async with self._turns_of(profiles):
            yield
            for profile in profiles:
                self._replaced.forget(profile)
                for (work, numbers, _), task in list(self._running.items()):
                    if profile.id in numbers and work != FORGETTING:
                        task.cancel()
                self._begun((FORGETTING, (profile.id,), str(next(self._deletions))), partial(self._forgotten, profile))

    async def _forgotten(self, profile: Profile) -> None:
        """However full the queue is."""
        while self.inference.is_alive:
            try:
                return await _computed(self.inference, lambda inference: inference.beliefs.forget(profile.id))
            except BusyError:
                await asyncio.sleep(FULL_SECONDS)


async def _shared(work: "asyncio.Task[Result]") -> Result:
    """What some work gives, which others may wait for as well."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await asyncio.shield(work)
    except TimeoutError:
        raise BusyError("this takes a while: try again soon") from None
    except asyncio.CancelledError:
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise  # whoever asked is gone
        raise BusyError("the answers have changed meanwhile: try again") from None


async def _computed(worker: Worker[Held], job: Callable[[Held], Result], patience: float = LONGEST) -> Result:
    """What a job gives, or `BusyError`."""
    try:
        # Not wait_for, which before Python 3.12 drops a cancellation that comes together with the result.
        async with asyncio.timeout(patience):
            return await asyncio.wrap_future(worker.submit(job))
    except TimeoutError:
        raise BusyError("the model takes too long") from None


class _Drawn:
    """The catalogue's pictures as PNG, no larger than pages need. For one thread at a time."""

    def __init__(self, pictures: Pictures) -> None:
        self._pictures, self._kept, self._bytes = pictures, OrderedDict[str, bytes | None](), 0

    def open(self, item: str) -> bytes | None:
        """None for a picture that cannot be read."""
        if item in self._kept:
            self._kept.move_to_end(item)
            return self._kept[item]
        try:
            picture = self._pictures.open(item)
            picture.thumbnail((SIDE, SIDE))
            found = png(picture)
        except BadPictureError:
            found = None
        self._kept[item] = found
        self._bytes += len(found or b"")
        while self._bytes > BYTES_KEPT:
            self._bytes -= len(self._kept.popitem(last=False)[1] or b"")
        return found


class _Replaced:
    """Pictures of albums that have been replaced, the last ones."""

    def __init__(self) -> None:
        self._kept = OrderedDict[tuple[int, str], Picture]()

    def keep(self, profile: Profile, album: Album) -> None:
        """They are found for a while."""
        for picture in album.pictures:
            self._kept[profile.id, picture.name] = picture
        while len(self._kept) > REPLACED_KEPT:
            self._kept.popitem(last=False)

    def find(self, person: Person, name: str) -> Picture | None:
        """One that was made for one of a person's profiles."""
        found = (self._kept.get((profile.id, name)) for profile in person.profiles)
        return next((picture for picture in found if picture is not None), None)

    def forget(self, profile: Profile) -> None:
        """Those of a profile are gone at once."""
        for key in [key for key in self._kept if key[0] == profile.id]:
            del self._kept[key]
