"""What is made for profiles: the strip that follows their answers, galleries as they wish, mixtures of two tastes."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from starlette.concurrency import run_in_threadpool

from prefprior.seeding import seed_of
from prefprior.studio.beliefs import state_of
from prefprior.studio.inference import Making
from prefprior.studio.painter import Painter, Request
from prefprior.studio.served import Served
from prefprior.studio.store.albums import GALLERY, STRIP, Album, Albums, Picture
from prefprior.studio.store.impressions import ConflictError, Impression, Impressions, liked_in
from prefprior.studio.store.people import Person, Profile
from prefprior.studio.store.picture_files import PictureFiles, name_of
from prefprior.studio.tasks import CancelledWorkError, Job, Tasks, computed, shared
from prefprior.studio.wishes import Wish

REPLACED_KEPT = 512  # pictures


@dataclass
class Progress:
    """How many pictures are made."""

    total: int
    done: int = 0


@dataclass(frozen=True)
class _Whose:
    """A profile and its answers."""

    profile: Profile
    answers: Sequence[Impression]


class AlbumMaker:
    """Makes albums, one of each kind at a time for each profile, and keeps them."""

    def __init__(
        self, *, impressions: Impressions, albums: Albums, files: PictureFiles, tasks: Tasks, making: Making,
        served_to: Callable[[Profile], Served], hidden: Callable[[], frozenset[str]],
    ) -> None:  # fmt: skip
        """`served_to` says what makes the pictures of a profile, and `hidden` which items of the catalogue nobody is
        shown, at this moment."""
        self._impressions, self._albums, self._tasks, self._making = impressions, albums, tasks, making
        self._files, self._served_to, self._hidden = files, served_to, hidden
        self._progress: dict[tuple[int, str], Progress] = {}
        self._replaced = _Replaced()

    async def strip(self, profile: Profile) -> Album:
        """The kept strip, or a new one where the profile has answered since."""
        async with self._tasks.turn(profile):  # a deletion comes before all of this, or ends what is begun here
            served = self._served_to(profile)
            kept, whose, state = await self._strip(served, profile)
            if kept is not None and kept.state == state:
                return kept
            making = self._tasks.begun(
                (STRIP, (profile.id,), state), lambda: self._made(served, STRIP, whose, state, self._usual)
            )
        return await shared(making)

    async def kept_strip(self, profile: Profile) -> tuple[Album | None, bool]:
        """The last strip, and whether it knows all answers."""
        kept, _, state = await self._strip(self._served_to(profile), profile)
        return kept, kept is not None and kept.state == state

    async def gallery(self, profile: Profile, wish: Wish, other: Profile | None = None) -> Album:
        """Pictures as they were wished for, kept until others are; with another profile, for both tastes.

        One that is being made for the same wish goes on, whatever was answered since; one for another wish ends.
        """
        profiles = [profile] if other is None else [profile, other]
        async with self._tasks.turn(*profiles):
            both = [_Whose(each, await run_in_threadpool(self._impressions.answered, each)) for each in profiles]
            served = self._served_to(profile)
            others = [(each.profile.id, state_of(served.model, each.answers)) for each in both[1:]]
            state = state_of(served.model, both[0].answers, wish.plain(), others)
            kept = await run_in_threadpool(self._albums.of, profile, GALLERY)
            if kept is not None and kept.state == state:
                return kept
            job: Job = (GALLERY, tuple(each.id for each in profiles), state_of("", [], wish.plain()))
            self._cancel_galleries(profile, but=job)
            making = self._tasks.begun(job, lambda: self._made(served, GALLERY, both[0], state, wish, *both[1:]))
        try:
            return await shared(making)
        except CancelledWorkError:
            raise ConflictError("another gallery was wished for meanwhile, or this one was cancelled") from None

    def progress(self, profile: Profile) -> Progress | None:
        """How far a profile's gallery is; None where none is being made."""
        return self._progress.get((profile.id, GALLERY))

    def cancel_gallery(self, profile: Profile) -> None:
        """Pictures of a gallery that are not begun are not made."""
        self._cancel_galleries(profile)

    async def picture(self, person: Person, name: str) -> Picture | None:
        """A picture that was made for a person, or was a moment ago: pages that show it may still be loading."""
        found = await run_in_threadpool(self._albums.picture, person, name)
        if found is None and (replaced := self._replaced.find(person, name)) is not None:
            return replaced.picture
        return found

    async def content(self, person: Person, name: str) -> bytes | None:
        """The PNG of such a picture; an error where its file is missing."""
        if await run_in_threadpool(self._albums.picture, person, name) is not None:
            return await run_in_threadpool(self._files.read, name)
        replaced = self._replaced.find(person, name)
        return None if replaced is None else replaced.content

    def forget(self, profile: Profile) -> None:
        """What was made of a profile's answers leaves memory too."""
        self._replaced.forget(profile)

    @property
    def _usual(self) -> Wish:
        return Wish(diversity=self._making.diversity)

    async def _strip(self, served: Served, profile: Profile) -> tuple[Album | None, _Whose, str]:
        answers = await run_in_threadpool(self._impressions.answered, profile)
        kept = await run_in_threadpool(self._albums.of, profile, STRIP)
        return kept, _Whose(profile, answers), state_of(served.model, answers, self._usual.plain())

    def _cancel_galleries(self, profile: Profile, *, but: Job | None = None) -> None:
        self._tasks.cancel(lambda job: job[0] == GALLERY and job[1][0] == profile.id and job != but)

    async def _made(
        self, served: Served, kind: str, whose: _Whose, state: str, wish: Wish, second: _Whose | None = None
    ) -> Album:
        profile, other = whose.profile, None if second is None else second.profile
        seed = seed_of(profile.seed, kind, state if kind == STRIP else wish.seed)
        n, told = self._making.n if kind == STRIP else self._making.gallery, wish.plain()
        progress = self._progress[profile.id, kind] = Progress(n)
        try:
            belief = await served.settling.settled(profile, whose.answers)
            liked = liked_in(whose.answers, served.offer.levels)
            theirs = None if second is None else await served.settling.settled(second.profile, second.answers)
            if theirs is not None and whose.answers and second is not None and second.answers:
                alike = await computed(served.inference, lambda inference: inference.alike(belief, theirs))
                told["alike"] = round(alike, 3)
            drawn = await computed(
                served.sampling, lambda sampling: sampling.draw(belief, seed, liked, n, wish, theirs)
            )
            request = Request(drawn.raw_nD, seed, drawn.negative_nD, wish.prompt or None, self._hidden())
            contents: list[bytes] = []
            for first in range(0, n, self._making.at_once):  # others' pictures come between
                places = range(first, min(first + self._making.at_once, n))
                contents += await computed(served.painter, partial(Painter.paint, request=request, places=places))
                progress.done = len(contents)
        finally:
            if self._progress.get((profile.id, kind)) is progress:  # not that of a later gallery
                del self._progress[profile.id, kind]
        embeddings = drawn.raw_nD.float().numpy().astype("<f4")
        pictures = tuple(
            Picture(name_of(content), row.tobytes(), why)
            for content, row, why in zip(contents, embeddings, drawn.why, strict=True)
        )  # fmt: skip
        made = Album(
            state, len(whose.answers), served.model, served.decoder, seed, drawn.concentration, drawn.sure, pictures,
            told, None if other is None else other.id,
        )  # fmt: skip
        before = await run_in_threadpool(self._albums.of, profile, kind)
        replaced = {} if before is None else await run_in_threadpool(self._files.found, before.names)
        if before is not None:
            self._replaced.keep(profile, before, replaced)  # before their files are removed
        await run_in_threadpool(self._albums.replace, profile, made, contents, kind, other)
        return made


@dataclass(frozen=True)
class _Kept:
    """A picture of an album that has been replaced."""

    picture: Picture
    content: bytes
    other: int | None  # the other profile of a mixture


class _Replaced:
    """Pictures of albums that have been replaced, the last ones."""

    def __init__(self) -> None:
        self._kept = OrderedDict[tuple[int, str], _Kept]()

    def keep(self, profile: Profile, album: Album, contents: Mapping[str, bytes]) -> None:
        """Those with a content are found for a while."""
        for picture in album.pictures:
            if picture.name in contents:
                self._kept[profile.id, picture.name] = _Kept(picture, contents[picture.name], album.mixed_with)
        while len(self._kept) > REPLACED_KEPT:
            self._kept.popitem(last=False)

    def find(self, person: Person, name: str) -> _Kept | None:
        """One that was made for one of a person's profiles."""
        found = (self._kept.get((profile.id, name)) for profile in person.profiles)
        return next((kept for kept in found if kept is not None), None)

    def forget(self, profile: Profile) -> None:
        """Those of a profile's taste are gone at once."""
        for key, kept in list(self._kept.items()):
            if profile.id in (key[0], kept.other):
                del self._kept[key]
