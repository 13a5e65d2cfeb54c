"""Values from untrusted JSON: each has the requested type, or is named in an error."""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

_SURROGATE = re.compile("[\ud800-\udfff]")  # halves of characters, which JSON can write and UTF-8 cannot


class Fields:
    """An object of a JSON file. Messages name the file, the key and what to do."""

    def __init__(self, value: Any, path: str | Path, remedy: str, place: str = "") -> None:
        """`place` is where in the file the object stands: the keys that lead to it, with dots between them."""
        self._path, self._remedy, self._place = path, remedy, place
        if not isinstance(value, Mapping):
            raise ValueError(f"{path}: {place or 'it'} is {_shown(value)}; it must be a JSON object. {remedy}".rstrip())
        self._values: Mapping[str, Any] = value

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def value(self, key: str) -> Any:
        """What is there, whatever it is."""
        if key not in self._values:
            raise ValueError(f"{self._path}: {self._at(key)} is missing. {self._remedy}".rstrip())
        return self._values[key]

    def text(self, key: str, pattern: str = "(?s).+", form: str = "text") -> str:
        """A text that is not empty and, if told, of one `form`: the pattern in words."""
        value = self.value(key)
        if not isinstance(value, str) or _SURROGATE.search(value) or not re.fullmatch(pattern, value):
            self.refuse(key, form)
        return value

    def file_name(self, key: str) -> str:
        """The name of a file in the same folder."""
        wanted = "the name of a file in this folder"
        name = self.text(key, r"\w[\w.-]*", wanted)
        if len(name.encode()) > 255:  # no file system has longer ones
            self.refuse(key, wanted)
        return name

    def digest(self, key: str, digits: int) -> str:
        """A hash."""
        return self.text(key, f"[0-9a-f]{{{digits}}}", f"a hash of {digits} hexadecimal digits")

    def whole(self, key: str, least: int = 0) -> int:
        """A whole number."""
        value = self.value(key)
        if type(value) is not int or not least <= value < 2**53:
            self.refuse(key, f"a whole number of at least {least}")
        return int(value)

    def number(self, key: str) -> float:
        """A finite number."""
        value = self.value(key)
        if not _is_number(value):
            self.refuse(key, "a finite number")
        return float(value)

    def numbers(self, key: str) -> list[float]:
        """A list of finite numbers."""
        value = self.value(key)
        if not isinstance(value, list) or not value:
            self.refuse(key, "a list of numbers")
        for index, one in enumerate(value):
            if not _is_number(one):
                self.refuse(f"{key}[{index}]", "a finite number", one)
        return [float(one) for one in value]

    def flag(self, key: str) -> bool:
        """true or false."""
        value = self.value(key)
        if not isinstance(value, bool):
            self.refuse(key, "true or false")
        return value

    def fields(self, key: str) -> "Fields":
        """An object inside this one."""
        return Fields(self.value(key), self._path, self._remedy, self._at(key))

    def objects(self, key: str, least: int = 1) -> list["Fields"]:
        """A list of objects."""
        value = self.value(key)
        if not isinstance(value, list) or len(value) < least:
            self.refuse(key, f"a list of {'' if not least else f'at least {least} '}JSON objects")
        return [Fields(one, self._path, self._remedy, f"{self._at(key)}[{i}]") for i, one in enumerate(value)]

    def plain(self, key: str) -> dict[str, Any]:
        """An object with whatever is in it."""
        return dict(self.fields(key)._values)

    def fail(self, what: str) -> NoReturn:
        """Says of the object as a whole what is wrong."""
        raise ValueError(f"{self._path}: {self._place + ': ' if self._place else ''}{what}. {self._remedy}".rstrip())

    def refuse(self, key: str, wanted: str, value: Any = None) -> NoReturn:
        """Says of a value what it must be."""
        found = self._values.get(key, value)
        told = f"{self._path}: {self._at(key)} is {_shown(found)}; it must be {wanted}. {self._remedy}"
        raise ValueError(told.rstrip())

    def _at(self, key: str) -> str:
        return f"{self._place}.{key}" if self._place else key


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits
        return False


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a JSON object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    shown = {"None": "null", "True": "true", "False": "false"}.get(repr(value)[:8], repr(value)[:70])
    return shown if len(shown) <= 60 else f"{shown[:60]}..."
