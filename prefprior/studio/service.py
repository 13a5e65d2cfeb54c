"""The studio as a service: questions, answers, pictures and rankings of profiles, for pages and platforms alike.

Runs in the event loop and computes nothing there: the database is asked in threads, the model and the decoder in
workers.
"""

import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from starlette.concurrency import run_in_threadpool
from torch import Tensor

from prefprior.data.pictures import Pictures
from prefprior.elicitation.questions import Kind
from prefprior.seeding import seed_of
from prefprior.studio.albums import AlbumMaker
from prefprior.studio.beliefs import state_of
from prefprior.studio.hiding import Hiding
from prefprior.studio.inference import Inference, Making, Ranked, Sampling
from prefprior.studio.painter import Painter
from prefprior.studio.settling import Settling
from prefprior.studio.store.albums import Album, Albums
from prefprior.studio.store.database import Database
from prefprior.studio.store.figures import Figures
from prefprior.studio.store.impressions import ConflictError, Given, Impression, Impressions, places_of
from prefprior.studio.store.invitations import Invitations
from prefprior.studio.store.moderation import ITEM, Moderation
from prefprior.studio.store.people import People, Person, Profile
from prefprior.studio.store.tokens import Tokens
from prefprior.studio.tasks import PATIENCE, Tasks, computed, shared
from prefprior.studio.thumbnails import Thumbnails
from prefprior.studio.wishes import Wish, Wishes
from prefprior.studio.worker import Worker

FORGETTING = "forget"


class UnfitError(ValueError):
    """An answer that does not fit its question."""


@dataclass(frozen=True)
class Offer:
    """What can be asked."""

    kinds: dict[str, Kind]  # by the name of the page: nine, pair, rate, roam
    levels: tuple[float, ...]  # the ratings that can be given
    wishes: Wishes = field(default_factory=Wishes)  # what can be asked of a gallery


class Studio:
    """One database, one model with its decoder, one catalogue of pictures."""

    def __init__(
        self, *, database: Database, inference: Inference, sampling: Sampling, painter: Painter, offer: Offer,
        pictures: Pictures, making: Making | None = None, waiting: int = 256,
    ) -> None:  # fmt: skip
        """At most `waiting` jobs wait for each worker."""
        self.database, self.offer, self.making = database, offer, making or Making()
        self.model = inference.model
        self.inference = Worker(inference, name="inference", waiting=waiting)
        self.sampling = Worker(sampling, name="sampling", waiting=waiting, yields=True)
        self.painter = Worker(painter, name="decoding", waiting=waiting, yields=True)
        self.people, self.impressions = People(database), Impressions(database)
        self.albums, self.tokens = Albums(database), Tokens(database)
        self.moderation, self.invitations, self.figures = Moderation(database), Invitations(database), Figures(database)
        self._known = frozenset(sampling.catalogue.ids)
        self.hiding = Hiding(self.moderation, self.painter, self._known)
        self.tasks, self._thumbnails = Tasks(), Thumbnails(pictures)
        self._settling, self._deletions = Settling(self.inference, self.sampling), itertools.count()
        self.maker = AlbumMaker(
            impressions=self.impressions, albums=self.albums, inference=self.inference, sampling=self.sampling,
            painter=self.painter, settling=self._settling, tasks=self.tasks, making=self.making, levels=offer.levels,
            model=self.model, decoder=painter.decoder.identity, hidden=lambda: self.hiding.items,
        )  # fmt: skip

    def go_on_with(
        self, *, inference: Inference, sampling: Sampling, painter: Painter, offer: Offer, pictures: Pictures
    ) -> None:
        """Another model, from the next job on: it believes what the answers in the database say."""
        if offer != self.offer:
            raise ValueError("it asks other questions, or takes other answers: restart the studio to serve it")
        known = frozenset(sampling.catalogue.ids)
        if lacking := self._known - known:
            raise ValueError(
                f"its data lack {len(lacking):,} of the pictures, such as {min(lacking)!r}: restart the studio to serve "
                "it"
            )
        self.inference.hold(inference)
        self.sampling.hold(sampling)
        self.painter.hold(painter)
        self.model, self.decoder = inference.model, painter.decoder.identity
        self._known, self._pictures = known, _Drawn(pictures)

    async def question(
        self, profile: Profile, mode: str, request_key: str | None = None, *, near_D: Tensor | None = None
    ) -> Impression:
        """The question that waits, or the next one; with a key, one for each key. With `near_D` another one instead,
        among pictures most like that."""
        async with self.tasks.turn(profile):
            page = mode if near_D is None else None
            standing = await run_in_threadpool(self.impressions.standing, profile, page=page, request_key=request_key)
            while standing.found is not None and request_key is None and self.hiding.items & set(standing.found.items):
                await run_in_threadpool(self.impressions.withdraw, profile, standing.found.id)
                standing = await run_in_threadpool(self.impressions.standing, profile, page=page)
            if standing.found is not None:
                if standing.found.page != mode:
                    raise ConflictError("this key was used for a question of another kind: use a new one")
                return standing.found
            answers, seed = standing.answers, seed_of(profile.seed, "question", standing.asked)
            draw, thin = await computed(
                self.inference,
                lambda inference: inference.ask(profile, answers, mode, seed, near_D=near_D, hidden=self.hiding.items),
                PATIENCE,
            )
            if thin:
                self.tasks.begun(("settle", (profile.id,), ""), lambda: self._settling.settled(profile, answers))
            return await run_in_threadpool(
                self.impressions.record, profile, draw, request_key, instead=near_D is not None
            )

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
            return await run_in_threadpool(self.impressions.answer, profile, question.id, given, latency)

    async def undo(self, profile: Profile, number: int | None = None) -> Impression | None:
        """Takes an answer back; None where there is none."""
        async with self.tasks.turn(profile):
            return await run_in_threadpool(self.impressions.undo, profile, number)

    async def strip(self, profile: Profile) -> Album:
        """What is made for a profile now."""
        return await self.maker.strip(profile)

    async def gallery(self, profile: Profile, wish: Wish, other: Profile | None = None) -> Album:
        """Pictures as they were wished for; with another profile, for both tastes."""
        self.offer.wishes.require(wish)
        return await self.maker.gallery(profile, wish, other)

    async def embedding_of_item(self, item: str) -> Tensor | None:
        """The raw embedding of a picture of the catalogue."""
        return await computed(self.inference, lambda inference: inference.embedding(item), PATIENCE)

    async def ranking(self, profile: Profile, start: int, count: int) -> Ranked:
        """A part of the catalogue, best first."""
        async with self.tasks.turn(profile):
            answers = await run_in_threadpool(self.impressions.answered, profile)
            job = ("belief", (profile.id,), state_of(self.model, answers))
            believed = self.tasks.begun(job, lambda: self._settling.settled(profile, answers))
        belief = await shared(believed)
        return await computed(self.sampling, lambda sampling: sampling.rank(belief, start, count, self.hiding.items))

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
        self.tasks.cancel(lambda _: True)

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

    async def unshare(self, profile: Profile) -> None:
        """The code of a profile ends, and what others have mixed with it is deleted."""
        async with self._deleting(profile):
            await run_in_threadpool(self.people.unshare, profile)

    async def picture(self, item: str, *, even_hidden: bool = False) -> bytes | None:
        """A picture of the catalogue as PNG; None where there is none such."""
        if item not in self._known or (item in self.hiding.items and not even_hidden):
            return None
        return await self._thumbnails.open(item)

    async def report(self, profile: Profile, question: Impression, item: str) -> None:
        """Keeps a report of a picture of a question, which is asked no more."""
        if item not in question.items:
            raise UnfitError("this picture was not shown in this question")
        async with self.tasks.turn(profile):
            await run_in_threadpool(self.moderation.report, profile, ITEM, item)
            await run_in_threadpool(self.impressions.withdraw, profile, question.id)

    @asynccontextmanager
    async def _deleting(self, *profiles: Profile) -> AsyncIterator[None]:
        """In the turn of each profile; then what is still computed from their answers ends, and they leave memory."""
        async with self.tasks.turn(*profiles):
            yield
            for profile in profiles:
                self.maker.forget(profile)
                self.tasks.cancel(lambda job, number=profile.id: number in job[1] and job[0] != FORGETTING)  # type: ignore[misc]
                self.tasks.begun(
                    (FORGETTING, (profile.id,), str(next(self._deletions))), partial(self._settling.forgotten, profile)
                )

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
