"""What a person can ask of the pictures that are made for them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from prefprior.errors import require_between

MOST_STRENGTH, MOST_DIVERSITY, MOST_STEP, MOST_SEED = 3.0, 10.0, 2.0, 2**31 - 1
LONGEST_PROMPT = 300
MOST_AXES = 40


class WishError(ValueError):
    """Something was asked for that cannot be."""


@dataclass(frozen=True)
class Wish:
    """How pictures should be made."""

    strength: float = 1.0  # of the taste: 0 is without guidance, 1 the checkpoint's, more is stronger
    diversity: float = 4.0
    axes: Mapping[str, float] = field(default_factory=dict)  # steps along axes of words, in standard deviations
    prompt: str = ""
    negative: bool = False  # move away from what the person would like least
    seed: int = 0
    mixed: bool = False  # with another profile's taste
    share: float = 0.5  # of the other profile

    def __post_init__(self) -> None:
        try:
            require_between("strength", self.strength, 0, MOST_STRENGTH)
            require_between("diversity", self.diversity, 0, MOST_DIVERSITY)
            require_between("seed", self.seed, 0, MOST_SEED)
            require_between("share", self.share, 0, 1)
            for name, step in self.axes.items():
                require_between(f"the step along {name}", step, -MOST_STEP, MOST_STEP)
        except ValueError as error:
            raise WishError(str(error)) from None
        if self.mixed and (self.prompt or any(self.axes.values())):
            raise WishError("a mixture takes no prompt and no axes: leave them out")
        if len(self.prompt) > LONGEST_PROMPT or not all(each.isprintable() for each in self.prompt):
            raise WishError(f"a prompt has at most {LONGEST_PROMPT} letters, all of them printable")

    def plain(self) -> dict[str, Any]:
        """For the database and for manifests."""
        return asdict(self)


@dataclass(frozen=True)
class Wishes:
    """What this studio's model and decoder can do of it."""

    axes: tuple[str, ...] = ()
    prompt: bool = False
    negative: bool = False

    def __post_init__(self) -> None:
        require_between("the number of axes", len(self.axes), 0, MOST_AXES)

    def require(self, wish: Wish) -> None:
        """Refuses what cannot be done here."""
        if unknown := [name for name in wish.axes if name not in self.axes]:
            known = f"the axes are {', '.join(self.axes)}" if self.axes else "there are no axes"
            raise WishError(f"{unknown[0][:80]!r} is not an axis of this studio: {known}")
        if wish.prompt and not self.prompt:
            raise WishError("this studio takes no prompt")
        if wish.negative and not self.negative:
            raise WishError("this studio's decoder cannot move away from what you do not like")
