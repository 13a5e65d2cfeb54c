"""What is made for profiles: the strip that follows their answers, galleries as they wish, mixtures of two tastes."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from starlette.concurrency import run_in_threadpool

from prefprior.seeding import seed_of
from prefprior.studio.arms import Maker, counts, mixed
from prefprior.studio.beliefs import state_of
from prefprior.studio.calls import Calls
from prefprior.studio.inference import Drawn, Making
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


@dataclass(frozen=True)
class _Order:
    """What one maker is to make."""

    whose: _Whose
    second: _Whose | None  # of a mixture
    wish: Wish
    seed: int
    n: int


@dataclass(frozen=True, eq=False)
class _Painted:
    """What one maker has made."""

    drawn: Drawn
    pictures: list[Picture]
    contents: list[bytes]


class AlbumMaker:
    """Makes albums, one of each kind at a time for each profile, and keeps them."""

    def __init__(
        self, *, stored: Calls, impressions: Impressions, albums: Albums, files: PictureFiles, tasks: Tasks,
        making: Making, maker: Callable[[Profile], Maker], strip_makers: Callable[[Profile], list[Maker]],
        hidden: Callable[[], frozenset[str]],
    ) -> None:  # fmt: skip
        """`maker` says what makes the galleries of a profile, `strip_makers` what makes its strips, and `hidden` which
        items of the catalogue nobody is shown, at this moment."""
        self._stored, self._impressions, self._albums = stored, impressions, albums
        self._tasks, self._making = tasks, making
        self._files, self._maker, self._strip_makers, self._hidden = files, maker, strip_makers, hidden
        self._progress: dict[tuple[int, str], Progress] = {}
        self._replaced = _Replaced()

    async def strip(self, profile: Profile) -> Album:
        """The kept strip, or a new one where the profile has answered since."""
        async with self._tasks.turn(profile):  # a deletion comes before all of this, or ends what is begun here
            makers = self._strip_makers(profile)
            kept, whose, state = await self._strip(makers, profile)
            if kept is not None and kept.state == state:
                return kept
            making = self._tasks.begun(
                (STRIP, (profile.id,), state), lambda: self._made(makers, STRIP, whose, state, self._usual)
            )
        return await shared(making)

    async def kept_strip(self, profile: Profile) -> tuple[Album | None, bool]:
        """The last strip, and whether it knows all answers."""
        kept, _, state = await self._strip(self._strip_makers(profile), profile)
        return kept, kept is not None and kept.state == state

    async def gallery(self, profile: Profile, wish: Wish, other: Profile | None = None) -> Album:
        """Pictures as they were wished for, kept until others are; with another profile, for both tastes.

        One that is being made for the same wish goes on, whatever was answered since; one for another wish ends.
        """
        profiles = [profile] if other is None else [profile, other]
        async with self._tasks.turn(*profiles):
            both = [_Whose(each, await self._stored(self._impressions.answered, each)) for each in profiles]
            maker = self._maker(profile)
            others = [(each.profile.id, state_of(maker.served.model, each.answers)) for each in both[1:]]
            state = state_of(maker.served.model, both[0].answers, wish.plain(), others)
            kept = await self._stored(self._albums.of, profile, GALLERY)
            if kept is not None and kept.state == state:
                return kept
            job: Job = (GALLERY, tuple(each.id for each in profiles), state_of("", [], wish.plain()))
            self._cancel_galleries(profile, but=job)
            making = self._tasks.begun(job, lambda: self._made([maker], GALLERY, both[0], state, wish, *both[1:]))
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
        found = await self._stored(self._albums.picture, person, name)
        if found is None and (replaced := self._replaced.find(person, name)) is not None:
            return replaced.picture
        return found

    async def content(self, person: Person, name: str) -> bytes | None:
        """The PNG of such a picture; an error where its file is missing."""
        if await self._stored(self._albums.picture, person, name) is not None:
            return await run_in_threadpool(self._files.read, name)
        replaced = self._replaced.find(person, name)
        return None if replaced is None else replaced.content

    def forget(self, profile: Profile) -> None:
        """What was made of a profile's answers leaves memory too."""
        self._replaced.forget(profile)

    @property
    def _usual(self) -> Wish:
        return Wish(diversity=self._making.diversity)

    async def _strip(self, makers: Sequence[Maker], profile: Profile) -> tuple[Album | None, _Whose, str]:
        answers = await self._stored(self._impressions.answered, profile)
        kept = await self._stored(self._albums.of, profile, STRIP)
        study = [] if makers[0].arm is None else [makers[0].arm.study]
        return kept, _Whose(profile, answers), state_of(makers[0].served.model, answers, self._usual.plain(), *study)

    def _cancel_galleries(self, profile: Profile, *, but: Job | None = None) -> None:
        self._tasks.cancel(lambda job: job[0] == GALLERY and job[1][0] == profile.id and job != but)

    async def _made(
        self, makers: Sequence[Maker], kind: str, whose: _Whose, state: str, wish: Wish, second: _Whose | None = None
    ) -> Album:
        """An album of one maker's pictures, or of several makers' pictures in an order that does not tell whose."""
        profile, other = whose.profile, None if second is None else second.profile
        n, told, first = self._making.n if kind == STRIP else self._making.gallery, wish.plain(), makers[0]
        seed = first.seed(seed_of(profile.seed, kind, state if kind == STRIP else wish.seed))
        progress = self._progress[profile.id, kind] = Progress(n)
        by_maker = list[_Painted]()
        try:
            if second is not None and whose.answers and second.answers:
                told["alike"] = await self._alike(first.served, whose, second)
            for place, (maker, count) in enumerate(zip(makers, counts(n, len(makers), seed), strict=True)):
                ordered = _Order(whose, second, wish, seed_of(seed, "maker", place) if place else seed, count)
                by_maker.append(await self._painted(maker, ordered, progress))
        finally:
            if self._progress.get((profile.id, kind)) is progress:  # not that of a later gallery
                del self._progress[profile.id, kind]
        pictures = [picture for each in by_maker for picture in each.pictures]
        if len(makers) > 1:
            pictures = [pictures[place] for place in mixed(n, seed)]
        drawn, contents = by_maker[0].drawn, [content for each in by_maker for content in each.contents]
        made = Album(
            state, len(whose.answers), first.served.model, first.served.decoder, seed, drawn.concentration, drawn.sure,
            tuple(pictures), told, None if other is None else other.id, None if first.arm is None else first.arm.study,
        )  # fmt: skip
        before = await self._stored(self._albums.of, profile, kind)
        replaced = {} if before is None else await run_in_threadpool(self._files.found, before.names)
        if before is not None:
            self._replaced.keep(profile, before, replaced)  # before their files are removed
        await run_in_threadpool(self._albums.replace, profile, made, contents, kind, other)
        return made

    async def _alike(self, served: Served, whose: _Whose, second: _Whose) -> float:
        """How far the model expects the same of both."""
        belief, other = [await served.settling.settled(each.profile, each.answers) for each in (whose, second)]
        return round(await computed(served.inference, lambda inference: inference.alike(belief, other)), 3)

    async def _painted(self, maker: Maker, order: _Order, progress: Progress) -> _Painted:
        """Pictures by one model and its decoder."""
        served, profile, answers = maker.served, order.whose.profile, order.whose.answers
        belief, liked = await served.settling.settled(profile, answers), liked_in(answers, served.offer.levels)
        other = order.second
        theirs = None if other is None else await served.settling.settled(other.profile, other.answers)
        drawn = await computed(
            served.sampling,
            lambda sampling: sampling.draw(belief, order.seed, liked, order.n, order.wish, theirs),
        )
        request = Request(drawn.raw_nD, order.seed, drawn.negative_nD, order.wish.prompt or None, self._hidden())
        contents: list[bytes] = []
        for first in range(0, order.n, self._making.at_once):  # others' pictures come between
            places = range(first, min(first + self._making.at_once, order.n))
            new = await computed(served.painter, partial(Painter.paint, request=request, places=places))
            contents += new
            progress.done += len(new)
        embeddings = drawn.raw_nD.float().numpy().astype("<f4")
        pictures = [
            Picture(name_of(content), row.tobytes(), why, maker.arm)
            for content, row, why in zip(contents, embeddings, drawn.why, strict=True)
        ]  # fmt: skip
        return _Painted(drawn, pictures, contents)


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
