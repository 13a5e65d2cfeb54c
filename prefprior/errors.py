"""Errors for the user: a value that is not among the allowed ones, and a file that another command makes first."""

import shlex
from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class RunFirstError(ValueError):
    """Something is missing that another command makes; the message ends in that command."""

    def __init__(self, message: str, *, command: Sequence[str], repeats: tuple[str, ...]) -> None:
        """`command` has a word `source=...`; words of the failing command that begin as `repeats` are of both."""
        super().__init__(f"{message} Make them with:\n  {shlex.join(command)}")
        self.message, self.command, self.repeats = message, list(command), repeats

    def completed(self, words: Iterable[str], source: str | None) -> "RunFirstError":
        """The same error for a command line: its `words` to be repeated, and its option for `source`."""
        place = next(i for i, word in enumerate(self.command) if word.startswith("source="))
        named = [f"source={source}"] if source else [self.command[place]]
        repeated = [word for word in words if word.startswith(self.repeats)]
        command = [*self.command[:place], *named, *repeated, *self.command[place + 1 :]]
        return RunFirstError(self.message, command=command, repeats=self.repeats)


def nearest(given: str, known: Iterable[str]) -> str:
    """ "; did you mean x?" for the closest known word, or nothing."""
    close = get_close_matches(str(given), [str(word) for word in known], n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def sentence(text: str) -> str:
    """A text that ends as sentences do, so that another can follow."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


def require_choice(what: str, given: str, allowed: Iterable[str]) -> str:
    """Returns `given` if it is allowed; otherwise says what is, and what was probably meant."""
    allowed = list(allowed)
    if given not in allowed:
        raise ValueError(f"{what} is {given!r}; it must be one of {', '.join(allowed)}{nearest(given, allowed)}")
    return given


def require_between(what: str, value: float, low: float, high: float) -> None:
    """Raises unless a size lies in a range; the upper end keeps a damaged or hostile file from exhausting memory."""
    if not isinstance(value, (int, float)) or not low <= value <= high:
        raise ValueError(f"{what} must be at least {low:,} and at most {high:,}, got {value!r}")
