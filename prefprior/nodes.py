"""Nodes: plain containers with a `_target_` that names a class, checked against its constructor and built.

The constructor is the schema. There are two ways to find the class, for two levels of trust: `importable` for what a
user wrote themselves, and `Loadables` for what came out of a file that may be somebody else's. Neither resolves
anything inside a value: a string stays a string.
"""

import functools
import importlib
import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, ClassVar

from prefprior.errors import nearest

MISSING = "???"  # a value that has to be given
NO_VALUE = "has no value: add "
SPECIAL = {"_target_", "_partial_", "_convert_", "_recursive_"}
PLAIN = {int, float, str, bool, type(None)}
DEEPEST = 32  # levels of a node that came from a file
SHOWN = 60  # characters of a value in a message
Find = Callable[[str], Callable[..., Any]]


class Loadable:
    """Base of the classes that a file may name: constructing one has no effect but the object itself."""

    PATHS: ClassVar[tuple[str, ...]] = ()  # arguments that are paths, which no file that is passed on may set
    UNTOLD: ClassVar[tuple[str, ...]] = ()  # those of them that such a file does not mention either


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
                f"{target!r} is not in {', '.join(self.packages)}. A file may name only classes of these "
                "packages; if you trust the file and the package, add 'trust=[PACKAGE]' to the command"
            )
        try:
            found = getattr(importlib.import_module(module_name), class_name)
        except (ImportError, AttributeError) as error:
            raise ValueError(f"there is no {target} in this version: was the file written by another one?") from error
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
            raise ValueError(f"{target} is neither a class nor a function")
        return typing.cast(Callable[..., Any], found)
    raise ValueError(f"{target} cannot be imported: there is no module {parts[0]}")


def problems(node: Any, where: str = "", find: Find = importable, depth: int = DEEPEST) -> list[str]:
    """Everything wrong in a node: unknown keys, missing values, wrong types, classes that cannot be had."""
    if depth == 0:
        return [f"{where} is nested more than {DEEPEST} levels deep"]
    if isinstance(node, list):
        return [p for i, part in enumerate(node) for p in problems(part, f"{where}[{i}]", find, depth - 1)]
    if node == MISSING:
        return [f"{where} {NO_VALUE}{where}=... to the command"]
    if node == "":
        return [f"{where} is empty: give a value, or {where}=null for none"]
    if isinstance(node, float) and not math.isfinite(node):
        return [f"{where} is {node}; it must be a finite number"]
    if not isinstance(node, dict):
        return []
    takes = Arguments(None)
    target = node.get("_target_")
    if target is not None:
        try:
            takes = Arguments.of(find(str(target)))
        except ValueError as error:
            return [f"{where}._target_ is {_shown(target)}: {error}".lstrip(".")]
    found: list[str] = []
    for key, value in node.items():
        path = f"{where}.{key}" if where else str(key)
        if key in SPECIAL:
            continue
        if takes.names is not None and key not in takes.names:
            known = ", ".join(sorted(takes.names))
            found.append(f"{path} is unknown: {target} takes {known}{nearest(str(key), takes.names)}")
        elif value != MISSING and key in takes.hints and not fits(value, takes.hints[key], find):
            found.append(f"{path} is {_shown(value)}; {target} wants {_readable(takes.hints[key])}")
        elif value == "" and key in takes.may_be_empty:
            continue
        else:
            found += problems(value, path, find, depth - 1)
    return found


def set_by_command(node: Any, where: str, given: Collection[str], shared: Collection[str] = ()) -> list[str]:
    """The arguments in a node that would have no effect, since the command gives them to the constructor itself."""
    if isinstance(node, list):
        return [line for i, part in enumerate(node) for line in set_by_command(part, f"{where}[{i}]", given, shared)]
    if not isinstance(node, dict):
        return []
    outermost = "_target_" in node
    taken = {*shared, *(given if outermost else ())}
    found = [f"{where}.{key} has no effect: the command sets it itself; leave it out" for key in node if key in taken]
    below = () if outermost else given
    for key, part in node.items():
        found += set_by_command(part, f"{where}.{key}", below, shared)
    return found


def with_defaults(node: Any, given: Collection[str] = (), shared: Collection[str] = (), find: Find = importable) -> Any:
    """A node with the defaults of its constructors written out.

    What a command gives to the outermost constructor (`given`) or to every one (`shared`) is left out, and so is a
    default that no YAML file can hold.
    """
    if isinstance(node, list):
        return [with_defaults(part, given, shared, find) for part in node]
    if not isinstance(node, dict):
        return node
    outermost = "_target_" in node
    below = () if outermost else given
    made = {key: with_defaults(value, below, shared, find) for key, value in node.items()}
    if outermost:
        taken = {*shared, *given}
        for name, parameter in inspect.signature(find(str(node["_target_"]))).parameters.items():
            if name not in made and name not in taken and _is_plain_value(parameter.default):
                made[name] = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
    return made


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
    takes = Arguments.of(callee)
    given = {key: takes.typed(key, value) for key, value in given.items()}
    given = {key: value for key, value in (shared or {}).items() if key in (takes.names or ())} | given
    made = functools.partial(callee, **(given | runtime))
    if node.get("_partial_"):
        return made
    try:
        inspect.signature(callee).bind(**made.keywords)
    except TypeError as error:
        raise ValueError(f"{node['_target_']} cannot be created: {error}") from None
    return made()


def without_paths(node: Any, find: Find) -> tuple[Any, dict[str, Any]]:
    """A node whose paths are missing values, and by their key those paths that may be told."""
    taken: dict[str, Any] = {}

    def walk(part: Any, where: str, depth: int = DEEPEST) -> Any:
        if isinstance(part, (list, dict)) and depth == 0:
            raise ValueError(f"{where} is nested more than {DEEPEST} levels deep")
        if isinstance(part, list):
            return [walk(one, f"{where}[{i}]", depth - 1) for i, one in enumerate(part)]
        if not isinstance(part, dict):
            return part
        named = find(str(part["_target_"])) if "_target_" in part else None
        paths, untold = (getattr(named, each, ()) for each in ("PATHS", "UNTOLD"))
        made = {}
        for key, value in part.items():
            path = f"{where}.{key}" if where else str(key)
            if key in paths and value is not None:
                made[key] = MISSING
                if key not in untold:
                    taken[path] = value
            else:
                made[key] = walk(value, path, depth - 1)
        return made

    return walk(node, ""), taken


def leaves(node: Any, where: str = "") -> dict[str, Any]:
    """The values in a mapping of mappings by their dotted path; an empty mapping is a value."""
    if isinstance(node, dict) and node:
        return {k: v for key, part in node.items() for k, v in leaves(part, f"{where}.{key}" if where else key).items()}
    return {where: node}


def merged(node: dict[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """A node with some of its arguments changed, at any depth."""
    made = dict(node)
    for key, value in change.items():
        old = made.get(key)
        made[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return made


@dataclass(frozen=True)
class Arguments:
    """What a constructor takes."""

    names: frozenset[str] | None  # None: any
    hints: Mapping[str, Any] = field(default_factory=dict)
    may_be_empty: frozenset[str] = frozenset()  # whose default is an empty text

    def typed(self, name: str, value: Any) -> Any:
        """A value as its annotation asks for it: YAML takes a name such as 17 for a number."""
        return str(value) if type(value) is int and _only_text(self.hints.get(name)) else value

    @classmethod
    def of(cls, callee: Any) -> "Arguments":
        """As its signature says."""
        parameters = inspect.signature(callee).parameters
        if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            return cls(None)
        try:
            hints = typing.get_type_hints(callee.__init__ if inspect.isclass(callee) else callee)
        except NameError:  # a hint that only a type checker can resolve: keys are still checked, types are not
            hints = {}
        for name in hints.keys() & parameters.keys():
            if parameters[name].default is None:  # of code that does not say so
                hints[name] = hints[name] | None
        empty = frozenset(name for name, p in parameters.items() if isinstance(p.default, str) and not p.default)
        return cls(frozenset(parameters) - {"self"}, hints, empty)


def fits(value: Any, hint: Any, find: Find = importable) -> bool:
    """Whether a value of a configuration suits an annotation: plain values, lists, mappings, and nodes of our classes.

    Where an annotation is another (a callable, a protocol, a class of a library), anything suits.
    """
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(hint, types.UnionType) or origin is typing.Union:
        return any(fits(value, option, find) for option in options)
    if origin is typing.Literal:
        return value in options
    if hint in PLAIN:
        return _fits_plain(value, hint)
    if not inspect.isclass(origin or hint) or hint is typing.Any:
        return True
    kind: type = origin or hint
    if issubclass(kind, Mapping):
        return isinstance(value, dict)
    if issubclass(kind, Collection) and kind.__module__ in ("builtins", "collections.abc"):
        return isinstance(value, list) and _fit_all(value, kind, options, find)
    if issubclass(kind, PurePath):
        return isinstance(value, str)
    return not issubclass(kind, Loadable) or _builds(value, kind, find)


def _builds(node: Any, kind: type, find: Find) -> bool:
    """Whether a node builds an object of a class; the return value of a function is unknown."""
    if not isinstance(node, dict) or "_target_" not in node:
        return False
    try:
        named = find(str(node["_target_"]))
    except ValueError:  # a problem of its own
        return True
    return issubclass(named, kind) if isinstance(named, type) and not node.get("_partial_") else True


def _only_text(hint: Any) -> bool:
    """Whether of plain values only text, or nothing, suits an annotation."""
    options = typing.get_args(hint) or (hint,)
    return str in options and not {int, float} & set(options)


def _fits_plain(value: Any, kind: type) -> bool:
    """Whether a plain value is of a plain type, as YAML types them: an id such as 17 comes as a number."""
    if isinstance(value, bool) or kind is bool:
        return kind is bool and isinstance(value, bool)
    allowed = {float: (int, float), str: (str, int, float)}.get(kind, kind)
    return isinstance(value, allowed)


def _fit_all(values: list[Any], kind: type, options: tuple[Any, ...], find: Find) -> bool:
    """Whether the parts of a list suit the annotation of a collection."""
    if kind is tuple and options and options[-1] is not Ellipsis:
        pairs = zip(values, options, strict=False)
        return len(values) == len(options) and all(fits(value, option, find) for value, option in pairs)
    return all(fits(value, options[0], find) for value in values) if options else True


def _is_plain_value(value: Any) -> bool:
    """Whether a value is numbers, text, None, or a list or a mapping of such."""
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain_value, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain_value(part) for key, part in value.items())
    return type(value) in PLAIN


def _shown(value: Any) -> str:
    """A value in a message; of a node, its class."""
    if isinstance(value, dict):
        return str(value.get("_target_", f"{', '.join(map(str, value)) or 'empty'} (no class is chosen)"))
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _readable(hint: Any) -> str:
    """An annotation as it would be written, without the modules of its names."""
    return hint.__name__ if inspect.isclass(hint) else re.sub(r"\b[A-Za-z_][\w.]*\.(?=\w)", "", str(hint))
