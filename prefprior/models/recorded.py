"""Objects that remember how they were made, so that a checkpoint can write it down without being told.

The recorded `config` is a node as YAML would hold it: `_target_` plus every constructor argument that was given.
"""

import functools
import importlib
import inspect
from typing import Any

from prefprior.errors import nearest

HOME = "prefprior.models."  # a checkpoint is data: it may name our recorded classes and nothing else
# Given when an object is built, shared by several of them, and stored once for the whole checkpoint.
RUNTIME = ("space", "scale", "token_width")


class Recorded:
    """Base of what a checkpoint can build again: each instance has `config`, the node that makes another one."""

    config: dict[str, Any]
    runtime: dict[str, Any]  # what it was given beside that

    def another(self) -> Any:
        """A new object made with the same arguments; a network gets new initial weights."""
        return from_node(self.config, **self.runtime)

    def __init_subclass__(cls) -> None:
        """Wraps the constructor of a subclass; its signature, against which configs are checked, stays."""
        super().__init_subclass__()
        original = cls.__dict__.get("__init__")
        if original is None:
            return
        signature = inspect.signature(original)

        @functools.wraps(original)
        def recording(self: Any, *args: Any, **kwargs: Any) -> None:
            original(self, *args, **kwargs)
            if type(self) is cls:
                given = list(signature.bind(self, *args, **kwargs).arguments.items())[1:]
                self.config = {"_target_": f"{cls.__module__}.{cls.__qualname__}"} | {
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


def from_node(node: Any, **runtime: Any) -> Any:
    """Builds what `config` recorded; refuses any target that is not a recorded class of this package.

    `runtime` reaches every constructor in the node that takes an argument of that name.
    """
    if isinstance(node, list):
        return [from_node(part, **runtime) for part in node]
    if not isinstance(node, dict):
        return node
    arguments = {name: from_node(value, **runtime) for name, value in node.items() if name != "_target_"}
    if "_target_" not in node:
        return arguments
    cls = _recorded_class(node["_target_"])
    known = inspect.signature(cls).parameters
    for name in arguments:
        if name not in known:
            raise ValueError(f"{node['_target_']} takes no {name}{nearest(name, known)}")
    return cls(**arguments, **{name: value for name, value in runtime.items() if name in known})


def _recorded_class(target: Any) -> type:
    module_name, _, class_name = str(target).rpartition(".")
    if not module_name.startswith(HOME):
        raise ValueError(f"a checkpoint may only name classes under {HOME.rstrip('.')}, not {target!r}")
    try:
        cls = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"there is no {target}: was the checkpoint written by another version?") from error
    if not (isinstance(cls, type) and issubclass(cls, Recorded)):
        raise ValueError(f"a checkpoint may not name {target}: it is not a class that checkpoints record")
    return cls
