"""Questions and their answers: a rating of one picture, or a choice among several that are shown together.

Shapes: M items shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass

MOST_SHOWN = 100  # a grid of ten by ten


@dataclass(frozen=True)
class Kind:
    """What is asked: a rating (`shown` is 1), or a choice of one among `shown`, with or without "none of these"."""

    shown: int
    none: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.shown, bool) or not isinstance(self.shown, int) or not 1 <= self.shown <= MOST_SHOWN:
            raise ValueError(
                f"a question shows from 1 picture (to be rated) to {MOST_SHOWN} (to choose among), got {self.shown!r}"
            )
        if self.none and self.shown == 1:
            raise ValueError("a rating has no answer 'none of these': that is for questions of 2 pictures or more")

    @classmethod
    def named(cls, name: "str | int") -> "Kind":
        """From the words of a command line: 1 is a rating, 2 a pair, 9 a grid, and 9+none one with "none of these"."""
        number, plus, none = str(name).partition("+")
        if not number.isdecimal() or (plus and none != "none"):
            raise ValueError(f"questions={name!r}; it must be a number of pictures, such as 1, 2 or 9, or 9+none")
        return cls(int(number), bool(plus))

    def __str__(self) -> str:
        return f"{self.shown}+none" if self.none else str(self.shown)

    @property
    def is_rating(self) -> bool:
        """Whether one picture is rated."""
        return self.shown == 1

    def require_enough(self, candidates: int) -> None:
        """Refuses a question that shows more pictures than there are."""
        if self.shown > candidates:
            raise ValueError(
                f"a question of {self.shown} pictures needs as many that can be shown, and there are {candidates}. "
                "Show fewer at once"
            )


@dataclass(frozen=True)
class Question:
    """Items that are shown together, by their number among the candidates."""

    kind: Kind
    items: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.items) != self.kind.shown or len(set(self.items)) != len(self.items):
            raise ValueError(f"a question of {self.kind} pictures needs as many different ones, got {self.items}")

    def rated(self, level: int) -> "Answer":
        """The answer to a question of one picture: the number of a level, 0 for the lowest rating."""
        if not self.kind.is_rating:
            raise ValueError(f"{self.kind.shown} pictures were shown to choose among: the answer is not a rating")
        if level < 0:
            raise ValueError(f"the number of a rating's level must be at least 0, got {level}")
        return Answer(self, level=level)

    def chosen(self, items: Sequence[int]) -> "Answer":
        """The answer to a question of several: those that were picked, or none of these."""
        if self.kind.is_rating:
            raise ValueError("one picture was shown to be rated: the answer is a rating, not a choice")
        if foreign := [item for item in items if item not in self.items]:
            raise ValueError(f"picture {foreign[0]} was chosen, but {', '.join(map(str, self.items))} were shown")
        if len(set(items)) != len(items):
            raise ValueError(f"a picture was chosen twice: {', '.join(map(str, items))}")
        if not items and not self.kind.none:
            raise ValueError("none was chosen, but this question has no answer 'none of these'")
        return Answer(self, picked=tuple(self.items.index(item) for item in items))


@dataclass(frozen=True)
class Answer:
    """An answer to one question: made by `Question.rated` or `Question.chosen`."""

    question: Question
    level: int | None = None
    picked: tuple[int, ...] = ()  # places among the items shown; empty: none of these


def shown_in(answers: Sequence[Answer]) -> list[int]:
    """The items of their questions, one question after the other."""
    return [item for answer in answers for item in answer.question.items]


def require_asked(answer: Answer, candidates: int) -> None:
    """Refuses an answer about items that are no candidates."""
    if foreign := [item for item in answer.question.items if not 0 <= item < candidates]:
        raise ValueError(f"candidate {foreign[0]} was not asked: there are {candidates}")
