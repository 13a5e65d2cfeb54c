"""Objects that remember how they were made, so that a checkpoint can write it down without being told.

The recorded `config` is a node as YAML would hold it: `_target_` plus every constructor argument that was given.
"""

import functools
import inspect
import math
from typing import Any

from prefprior.nodes import Find, Loadable, construct, importable, problems

# Given when an object is built, shared by several of them, and stored once for the whole checkpoint.
RUNTIME = ("space", "scale", "token_width")


class Recorded(Loadable):
    """Base of what a checkpoint can build again: each instance has `config`, the node that makes another one."""

    config: dict[str, Any]
    runtime: dict[str, Any]  # what it was given beside that

    def another(self) -> Any:
        """A new object made with the same arguments; a network gets new initial weights."""
        return construct(self.config, importable, shared=self.runtime)

    def __init_subclass__(cls) -> None:
        """Wraps the constructor of a subclass; its signature, against which configs are checked, stays."""
        super().__init_subclass__()
        original = cls.__dict__.get("__init__")
        if original is None:
            return
        signature = inspect.signature(original)

        @functools.wraps(original)
        def recording(self: Any, *args: Any, **kwargs: Any) -> None:
            given = list(signature.bind(self, *args, **kwargs).arguments.items())[1:]
            for name, value in given:
                if isinstance(value, float) and not math.isfinite(value):  # no comparison with a bound would refuse NaN
                    raise ValueError(f"{name} of {type(self).__name__} is {value}; it must be a finite number")
            original(self, *args, **kwargs)
            if type(self).__init__ is recording:  # the outermost constructor; a subclass may have none of its own
                self.config = {"_target_": f"{type(self).__module__}.{type(self).__qualname__}"} | {
                    name: as_node(value) for name, value in given if name not in RUNTIME
                }
                self.runtime = {name: value for name, value in given if name in RUNTIME}

        cls.__init__ = recording  # type: ignore[method-assign]


def as_node(value: Any) -> Any:
    """A constructor argument as JSON: plain values stay, objects become the node that builds them."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [as_node(part) for part in value]
    if isinstance(value, dict):
        return {str(key): as_node(part) for key, part in value.items()}
    if isinstance(value, Recorded):
        return value.config
    raise TypeError(f"{type(value).__name__} cannot be written into a checkpoint's config")


def from_node(node: Any, kind: type[Any], find: Find, where: str, **runtime: Any) -> Any:
    """Builds what `config` recorded, from an untrusted file: only classes on the closed list, plain values.

    `runtime` reaches every constructor in the node that takes an argument of that name.
    """
    if found := problems(node, where, find):
        raise ValueError("\n".join(found))
    made = construct(node, find, shared=runtime)
    if not isinstance(made, kind):
        raise ValueError(f"{where} is not a {kind.__name__}: {_described(node)}")
    return made


def _described(node: Any) -> str:
    return str(node.get("_target_", "a node without a class")) if isinstance(node, dict) else repr(node)[:60]
