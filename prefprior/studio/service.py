"""The studio as a service: questions, answers, pictures and rankings of profiles, for pages and platforms alike.

Runs in the event loop and computes nothing there: the database is asked in threads, the model and the decoder in
workers.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from starlette.concurrency import run_in_threadpool
from torch import Tensor

from prefprior.elicitation.questions import Kind
from prefprior.seeding import seed_of
from prefprior.studio.albums import AlbumMaker
from prefprior.studio.alike import Alike
from prefprior.studio.arms import Arms, Maker, Studied, require_comparable
from prefprior.studio.beliefs import state_of
from prefprior.studio.calls import Calls
from prefprior.studio.hiding import Hiding
from prefprior.studio.inference import Ask, Inference, Making, Ranked
from prefprior.studio.served import Offer, Parts, Served
from prefprior.studio.store.albums import Album, Albums
from prefprior.studio.store.alike import Tastes
from prefprior.studio.store.database import Database
from prefprior.studio.store.events import Events
from prefprior.studio.store.figures import Figures
from prefprior.studio.store.impressions import ConflictError, Given, Impression, Impressions, places_of
from prefprior.studio.store.invitations import Invitations
from prefprior.studio.store.moderation import Moderation
from prefprior.studio.store.people import People, Person, Profile
from prefprior.studio.store.picture_files import PictureFiles
from prefprior.studio.store.tables import ITEM
from prefprior.studio.store.tokens import Tokens
from prefprior.studio.store.tried import Tried, Tries
from prefprior.studio.tasks import LONGEST, PATIENCE, Job, Tasks, computed, computed_together, shared
from prefprior.studio.wishes import Wish

Whose = TypeVar("Whose", Person, Profile)
FORGETTING, RETIRING = "forget", "retire"


class UnfitError(ValueError):
    """An answer that does not fit its question."""


@dataclass(frozen=True)
class Posed:
    """A question that is shown, and what its profile has answered."""

    question: Impression
    answered: int
    last: int | None  # the question that was answered last


class Studio:
    """One database, and the model with its decoder and catalogue that is served."""

    def __init__(
        self, *, database: Database, files: PictureFiles, parts: Parts, making: Making | None = None,
        waiting: int = 256, studied: Studied | None = None,
    ) -> None:  # fmt: skip
        """At most `waiting` jobs wait for each worker. In a study, `parts` are those of its first arm."""
        self.database, self.files, self.making, self._waiting = database, files, making or Making(), waiting
        if studied is not None:
            require_comparable(parts, studied.second, self.making.n)
        self.stored = Calls(database.calls_at_once)
        self.served, self._retiring = Served(parts, waiting=waiting), list[Served]()
        self.arms = None
        if studied is not None:
            self.arms = Arms(studied.study, (self.served, Served(studied.second, waiting=waiting)))
        self.people, self.impressions = People(database), Impressions(database)
        self.albums, self.tokens = Albums(database, files), Tokens(database)
        self.moderation, self.invitations = Moderation(database, files), Invitations(database)
        self.figures, self.tries = Figures(database), Tries(database)
        self.events, self.tastes = Events(database), Tastes(database)
        self.alike = Alike(self.stored, self.impressions, self.tastes, lambda profile: self.maker_for(profile).served)
        self.hiding = Hiding(self.moderation, lambda: self.serving)
        self.tasks, self._deletions, self._renewals = Tasks(), itertools.count(), itertools.count()
        self.maker = AlbumMaker(
            stored=self.stored, impressions=self.impressions, albums=self.albums, files=files, tasks=self.tasks,
            making=self.making, maker=self.maker_for, strip_makers=self.strip_makers, hidden=lambda: self.hiding.items,
        )  # fmt: skip

    @property
    def offer(self) -> Offer:
        """What can be asked."""
        return self.served.offer

    @property
    def model(self) -> str:
        """The hash of the checkpoint that is served; in a study, of its first arm."""
        return self.served.model

    @property
    def serving(self) -> tuple[Served, ...]:
        """All that is at work."""
        return (self.served,) if self.arms is None else self.arms.both

    @property
    def is_alive(self) -> bool:
        """Whether all workers take jobs."""
        return all(served.is_alive for served in self.serving)

    @property
    def compares_people(self) -> bool:
        """Whether people with a like taste find each other. Not between two models: who is found would tell the arm."""
        return self.arms is None or not self.arms.study.compares_models

    def maker_for(self, profile: Profile) -> Maker:
        """What asks a profile, and makes its galleries."""
        return Maker(self.served) if self.arms is None else self.arms.maker(profile)

    def strip_makers(self, profile: Profile) -> list[Maker]:
        """What makes a profile's strip."""
        return [Maker(self.served)] if self.arms is None else self.arms.makers(profile)

    def take_up(self, parts: Parts) -> None:
        """Another model, from the next request on: it believes what the answers in the database say."""
        assert self.arms is None, "a study compares what it began with"
        successor = Served(parts, waiting=self._waiting)
        try:
            successor.require_in_place_of(self.served)
        except ValueError:
            successor.close()
            raise
        before, self.served = self.served, successor
        self._retiring.append(before)
        self.tasks.begun((RETIRING, (), str(next(self._renewals))), partial(self._retired, before))

    async def question(
        self, profile: Profile, mode: str, request_key: str | None = None, *, near_D: Tensor | None = None
    ) -> Impression:
        """The question of `posed`."""
        return (await self.posed(profile, mode, request_key, near_D=near_D)).question

    async def posed(
        self, profile: Profile, mode: str, request_key: str | None = None, *, near_D: Tensor | None = None
    ) -> Posed:
        """The question that waits, or the next one; with a key, one for each key. With `near_D` another one instead,
        among pictures most like that."""
        async with self.tasks.turn(profile):
            page = mode if near_D is None else None
            standing = await self.stored(self.impressions.standing, profile, page=page, request_key=request_key)
            while standing.found is not None and request_key is None and self.hiding.items & set(standing.found.items):
                await self.stored(self.impressions.withdraw, profile, standing.found.id)
                standing = await self.stored(self.impressions.standing, profile, page=page)
            if standing.found is not None:
                if standing.found.page != mode:
                    raise ConflictError("this key was used for a question of another kind: use a new one")
                return Posed(standing.found, standing.answered, standing.last)
            answers, seed = standing.answers, seed_of(profile.seed, "question", standing.asked)
            maker, waiting = self.maker_for(profile), Ask(profile, answers, mode, seed, near_D, self.hiding.items)
            asked = await computed_together(maker.served.inference, Inference.ask_all, waiting, PATIENCE)
            if asked.thin:
                settling: Job = ("settle", (profile.id,), maker.served.model)
                self.tasks.begun(settling, lambda: maker.served.settling.settled(profile, answers))
            question = await self.stored(
                self.impressions.record, profile, asked.draw, request_key, instead=near_D is not None, arm=maker.arm
            )
            return Posed(question, standing.answered, standing.last)

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
        async with self.tasks.turn(profile):
            return await self.stored(self.impressions.answer, profile, question.id, given, latency)

    async def like(self, profile: Profile, strip: int, place: int, *, liked: bool) -> bool:
        """Keeps whether a picture of a strip is liked, in a study; False where there is none such."""
        async with self.tasks.turn(profile):
            return await self.stored(self.tries.like, profile, strip, place, liked=liked)

    async def show(self, profile: Profile, strip: Album) -> Tried | None:
        """A page shows a strip: in the study that it was made in, its pictures count as seen, and can be liked."""
        if self.arms is None or strip.study != self.arms.study.id:
            return None
        return await self.stored(self.tries.show, self.arms.study, profile, strip, self.hiding.made)

    async def undo(self, profile: Profile, number: int | None = None) -> Impression | None:
        """Takes an answer back; None where there is none."""
        async with self.tasks.turn(profile):
            return await self.stored(self.impressions.undo, profile, number)

    async def strip(self, profile: Profile) -> Album:
        """What is made for a profile now. What is compared of it follows its answers meanwhile."""
        made = await self.maker.strip(profile)
        if profile.findable and self.compares_people:
            self.tasks.begun(("taste", (profile.id,), made.state), lambda: self.alike.read(profile))
        return made

    async def hide(self, profile: Profile) -> None:
        """Nobody finds a profile any more."""
        async with self.tasks.turn(profile):
            await self.stored(self.tastes.hide, profile)

    async def gallery(self, profile: Profile, wish: Wish, other: Profile | None = None) -> Album:
        """Pictures as they were wished for; with another profile, for both tastes."""
        self.offer.wishes.require(wish)
        return await self.maker.gallery(profile, wish, other)

    async def embedding_of_item(self, profile: Profile, item: str) -> Tensor | None:
        """The raw embedding of a picture of the catalogue, as the model that asks this profile has it."""
        served = self.maker_for(profile).served
        return await computed(served.inference, lambda inference: inference.embedding(item), PATIENCE)

    async def ranking(self, profile: Profile, start: int, count: int) -> Ranked:
        """A part of the catalogue, best first."""
        async with self.tasks.turn(profile):
            answers = await self.stored(self.impressions.answered, profile)
            served = self.maker_for(profile).served
            job = ("belief", (profile.id,), state_of(served.model, answers))
            believed = self.tasks.begun(job, lambda: served.settling.settled(profile, answers))
        belief = await shared(believed)
        return await computed(served.sampling, lambda sampling: sampling.rank(belief, start, count, self.hiding.items))

    def close(self) -> None:
        """Ends after what waits is done."""
        for served in (*self.serving, *self._retiring):
            served.close()
        self.files.close()
        self.database.close()

    def cancel(self) -> None:
        """Gives up what nobody waits for."""
        self.tasks.cancel(lambda _: True)

    async def start_over(self, profile: Profile) -> None:
        """Deletes the answers of a profile."""
        async with self._deleting(profile):
            await run_in_threadpool(self._let_go, self.people.start_over, profile)

    async def delete_profile(self, profile: Profile) -> None:
        """Deletes a profile."""
        async with self._deleting(profile):
            await run_in_threadpool(self._let_go, self.people.delete_profile, profile)

    async def delete(self, person: Person) -> None:
        """Deletes a person."""
        async with self._deleting(*person.profiles):
            await run_in_threadpool(self._let_go, self.people.delete, person)

    async def unshare(self, profile: Profile) -> None:
        """The code of a profile ends, and what others have mixed with it is deleted."""
        async with self._deleting(profile):
            await run_in_threadpool(self._let_go, self.people.unshare, profile)

    async def picture(self, item: str, *, even_hidden: bool = False) -> bytes | None:
        """A picture of the catalogue as PNG; None where there is none such."""
        if item not in self.served.known or (item in self.hiding.items and not even_hidden):
            return None
        return await self.served.thumbnails.open(item)

    async def report(self, profile: Profile, question: Impression, item: str) -> None:
        """Keeps a report of a picture of a question, which is asked no more."""
        if item not in question.items:
            raise UnfitError("this picture was not shown in this question")
        async with self.tasks.turn(profile):
            await self.stored(self.moderation.report, profile, ITEM, item)
            await self.stored(self.impressions.withdraw, profile, question.id)

    @asynccontextmanager
    async def _deleting(self, *profiles: Profile) -> AsyncIterator[None]:
        """In the turn of each profile; then what is still computed from their answers ends, and they leave memory."""
        async with self.tasks.turn(*profiles):
            yield
            for profile in profiles:
                self.maker.forget(profile)
                self.tasks.cancel(lambda job, number=profile.id: number in job[1] and job[0] != FORGETTING)  # type: ignore[misc]
                for served in (*self.serving, *self._retiring):
                    job = (FORGETTING, (profile.id,), str(next(self._deletions)))
                    self.tasks.begun(job, partial(served.settling.forgotten, profile))

    async def _retired(self, served: Served) -> None:
        """Ends one that another has taken the place of, after requests that were begun with it."""
        await asyncio.sleep(LONGEST)
        self._retiring.remove(served)
        await run_in_threadpool(served.close)

    def _let_go(self, deletion: Callable[[Whose], list[str]], whose: Whose) -> None:
        """Deletes rows, then the pictures that nobody else has."""
        self.files.release(deletion(whose))

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
