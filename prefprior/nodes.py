"""Nodes: plain containers with a `_target_` that names a class, checked against its constructor and built.

The constructor is the schema. There are two ways to find the class, for two levels of trust: `importable` for what a
user wrote themselves, and `Loadables` for what came out of a file that may be somebody else's. Neither resolves
anything inside a value: a string stays a string.
"""

import functools
import importlib
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from prefprior.errors import nearest

MISSING = "???"  # a value that has to be given
SPECIAL = {"_target_", "_partial_", "_convert_", "_recursive_"}
PLAIN = {int, float, str, bool, type(None)}
DEEPEST = 32  # levels of a node that came from a file
Find = Callable[[str], Callable[..., Any]]


class Loadable:
    """Base of the classes that a file may name: constructing one has no effect but the object itself."""

    PATHS: ClassVar[tuple[str, ...]] = ()  # arguments that are paths, which no file that is passed on may set


class Loadables:
    """The closed list of what a file may name: classes of these packages that derive from `Loadable`."""

    def __init__(self, packages: Iterable[str] = ("prefprior",)) -> None:
        self.packages = tuple(packages)

    def __call__(self, target: str) -> Callable[..., Any]:
        """The class, or a ValueError."""
        module_name, _, class_name = target.rpartition(".")
        named = re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", target)
        if not named or not target.startswith(tuple(f"{package}." for package in self.packages)):
            raise ValueError(
                f"{target!r} is not of {', '.join(self.packages)}. A file may only name classes of these packages; "
                "if you trust the file and the package, add trust=[PACKAGE] to the command"
            )
        try:
            found = getattr(importlib.import_module(module_name), class_name)
        except (ImportError, AttributeError) as error:
            raise ValueError(f"there is no {target} here: was the file written by another version?") from error
        # Where it is defined, not where it is imported to: `prefprior.files.os` would begin well, too.
        defined_there = isinstance(found, type) and found.__module__ == module_name
        if not (defined_there and issubclass(found, Loadable)):
            raise ValueError(f"{target} is not a class that a file may name (it does not derive from Loadable)")
        return found


def importable(target: str) -> Callable[..., Any]:
    """Any class or function that Python can import: for what a user wrote themselves."""
    parts = target.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        module_name = ".".join(parts[:cut])
        try:
            found: Any = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is not None and (module_name + ".").startswith(error.name + "."):
                continue  # a shorter part may be the module
            raise ValueError(f"{target} cannot be imported: {error}") from error
        except Exception as error:  # whatever an import raises, the user needs the name it came from
            raise ValueError(f"{target} cannot be imported: {error}") from error
        try:
            for part in parts[cut:]:
                found = getattr(found, part)
        except AttributeError as error:
            raise ValueError(f"{target} cannot be imported: {error}") from error
        if not callable(found):
            raise ValueError(f"{target} is no class and no function")
        return typing.cast(Callable[..., Any], found)
    raise ValueError(f"{target} cannot be imported: there is no module {parts[0]}")


def problems(node: Any, where: str = "", find: Find = importable, depth: int = DEEPEST) -> list[str]:
    """Everything wrong in a node: unknown keys, missing values, wrong types, classes that cannot be had."""
    if depth == 0:
        return [f"{where} is nested more than {DEEPEST} levels deep"]
    if isinstance(node, list):
        return [p for i, part in enumerate(node) for p in problems(part, f"{where}[{i}]", find, depth - 1)]
    if node == MISSING:
        return [f"{where} has no value: add {where}=... to the command"]
    if not isinstance(node, dict):
        return []
    known: set[str] | None = None
    hints: dict[str, Any] = {}
    target = node.get("_target_")
    if target is not None:
        try:
            known, hints = arguments(find(str(target)))
        except ValueError as error:
            return [f"{where}._target_ is {target}: {error}".lstrip(".")]
    found: list[str] = []
    for key, value in node.items():
        path = f"{where}.{key}" if where else str(key)
        if key in SPECIAL:
            continue
        if known is not None and key not in known:
            found.append(f"{path} is unknown: {target} takes {', '.join(sorted(known))}{nearest(str(key), known)}")
        elif isinstance(value, (dict, list)) and "_target_" not in value and key in hints and _is_plain(hints[key]):
            found.append(f"{path} is a {type(value).__name__}; {target} wants {_readable(hints[key])}")
        elif isinstance(value, (dict, list)) or value == MISSING:
            found += problems(value, path, find, depth - 1)
        elif key in hints and not _fits(value, hints[key]):
            found.append(f"{path} is {value!r}; {target} wants {_readable(hints[key])}")
    return found


def construct(
    node: Any,
    find: Find = importable,
    *,
    shared: Mapping[str, Any] | None = None,
    **runtime: Any,
) -> Any:
    """Builds a checked node. `runtime` are further arguments of its constructor; `shared` reaches every constructor in
    the node that takes an argument of that name."""
    if isinstance(node, list):
        return [construct(part, find, shared=shared) for part in node]
    if not isinstance(node, dict):
        return node
    given = {key: construct(value, find, shared=shared) for key, value in node.items() if key not in SPECIAL}
    if "_target_" not in node:
        return given
    callee = find(str(node["_target_"]))
    known, _ = arguments(callee)
    for key, value in (shared or {}).items():
        if known is not None and key in known:
            given.setdefault(key, value)
    made = functools.partial(callee, **(given | runtime))
    return made if node.get("_partial_") else made()


def without_paths(node: Any, find: Find) -> tuple[Any, dict[str, Any]]:
    """A node whose paths are missing values, and those paths by their key."""
    taken: dict[str, Any] = {}

    def walk(part: Any, where: str, depth: int = DEEPEST) -> Any:
        if isinstance(part, (list, dict)) and depth == 0:
            raise ValueError(f"{where} is nested more than {DEEPEST} levels deep")
        if isinstance(part, list):
            return [walk(one, f"{where}[{i}]", depth - 1) for i, one in enumerate(part)]
        if not isinstance(part, dict):
            return part
        paths: tuple[str, ...] = ()
        if "_target_" in part:
            paths = getattr(find(str(part["_target_"])), "PATHS", ())
        made = {}
        for key, value in part.items():
            path = f"{where}.{key}" if where else str(key)
            if key in paths and value is not None:
                taken[path], made[key] = value, MISSING
            else:
                made[key] = walk(value, path, depth - 1)
        return made

    return walk(node, ""), taken


def merged(node: dict[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """A node with some of its arguments changed, at any depth."""
    made = dict(node)
    for key, value in change.items():
        old = made.get(key)
        made[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return made


def arguments(callee: Any) -> tuple[set[str] | None, dict[str, Any]]:
    """The names a constructor takes (None: any) and their type hints."""
    parameters = inspect.signature(callee).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return None, {}
    function = callee.__init__ if inspect.isclass(callee) else callee
    try:
        hints = typing.get_type_hints(function)
    except NameError:  # a hint that only a type checker can resolve: keys are still checked, types are not
        hints = {}
    return {name for name in parameters if name != "self"}, hints


def _is_plain(hint: Any) -> bool:
    """Whether an annotation allows nothing but numbers, text and None."""
    union = isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
    return set(typing.get_args(hint) if union else (hint,)) <= PLAIN


def _fits(value: Any, hint: Any) -> bool:
    """Whether a plain value suits a plain annotation; anything but numbers, text and None is not judged."""
    union = isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
    options = typing.get_args(hint) if union else (hint,)
    if not set(options) <= PLAIN or not isinstance(value, tuple(PLAIN)):
        return True
    if isinstance(value, bool):
        return bool in options
    if isinstance(value, int) and float in options:
        return True
    if str in options and isinstance(value, (int, float)):  # an id such as 17 is typed as a number by YAML
        return True
    return isinstance(value, tuple(options))


def _readable(hint: Any) -> str:
    return getattr(hint, "__name__", None) if inspect.isclass(hint) else str(hint)  # type: ignore[return-value]
