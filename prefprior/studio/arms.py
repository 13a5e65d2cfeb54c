"""A study at work: what serves each arm, and which of them make the pictures of a strip."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from prefprior.seeding import generator_of
from prefprior.studio.served import Offer, Parts, Served
from prefprior.studio.store.people import Profile
from prefprior.studio.store.studies import ARMS, Arm, Study


@dataclass(frozen=True)
class Studied:
    """A study, and what its second arm is served by."""

    study: Study
    second: Parts


@dataclass(frozen=True, eq=False)
class Maker:
    """What makes pictures, and in which arm of a study."""

    served: Served
    study: Study | None = None
    arm: Arm | None = None

    def seed(self, seed: int) -> int:
        """That of an album: in a study one that only its key tells, as who makes which picture follows from it."""
        return seed if self.study is None else self.study.drawn("album", seed)


class Arms:
    """Two checkpoints, or one that asks in two ways, between which people cannot tell."""

    def __init__(self, study: Study, both: tuple[Served, Served]) -> None:
        self.study, self.both = study, both

    def maker(self, profile: Profile) -> Maker:
        """What asks a profile and makes its galleries: that of the person's arm."""
        arm = self.study.arm_of(profile.person_id)
        return Maker(self.both[arm.place], self.study, arm)

    def makers(self, profile: Profile) -> list[Maker]:
        """What makes a strip: the arm's own first, and the other one too where it makes other pictures."""
        own = self.maker(profile)
        assert own.arm is not None
        if not self.study.compares_models:
            return [own]
        place = 1 - own.arm.place
        return [own, Maker(self.both[place], self.study, Arm(self.study.id, place))]


def require_comparable(first: Parts, second: Parts, strip: int) -> None:
    """Refuses arms that people could tell apart, and strips of fewer pictures than arms that make them."""
    if first.offer != second.offer:
        raise ValueError(
            "the runs of a study must have the same pages, ratings and wishes, or people could tell them apart: "
            f"one has {_told(first.offer)}, the other {_told(second.offer)}"
        )
    if other := {*first.sampling.catalogue.ids} ^ {*second.sampling.catalogue.ids}:
        raise ValueError(
            f"the runs of a study must show the same pictures: {len(other):,} are in the data of one run only, "
            f"such as {min(other)!r}"
        )
    if strip < ARMS and first.inference.model != second.inference.model:
        raise ValueError(f"in a study a strip has pictures of both runs: making.n must be at least {ARMS}")


def counts(n: int, makers: int, seed: int) -> list[int]:
    """How many of `n` pictures each makes; chance decides who makes one more."""
    more = torch.randperm(makers, generator=generator_of("more", seed)).tolist()
    return [n // makers + (more[place] < n % makers) for place in range(makers)]


def mixed(n: int, seed: int) -> Sequence[int]:
    """An order of `n` pictures that does not tell who has made them."""
    return torch.randperm(n, generator=generator_of("order", seed)).tolist()


def _told(offer: Offer) -> str:
    levels = f"ratings from {offer.levels[0]:g} to {offer.levels[-1]:g}" if offer.levels else ""
    return " and ".join([", ".join(offer.kinds), *([levels] if levels else [])])
