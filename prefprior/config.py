"""A composed configuration: every key is compared with what takes it, and its nodes are built.

The constructor is the schema (`prefprior.nodes`); the top level may carry the fields of the command's dataclass. All
problems are told in one message, each with the nearest known name. A user's own configuration may name anything that
Python can import. What comes out of a checkpoint or a manifest never passes through here.
"""

import inspect
import shlex
import typing
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from prefprior.errors import nearest
from prefprior.files import make_folder
from prefprior.nodes import MISSING, NO_VALUE, construct, importable, leaves, problems, set_by_command, with_defaults

if typing.TYPE_CHECKING:
    pass

DEVICE_REMEDY = " Choose a device of this machine: trainer=cpu, trainer.accelerator=cpu, or another trainer.devices=..."


def conf_folder() -> Path:
    """The clone's `conf/`, or the copy inside an installed wheel."""
    package = Path(__file__).parent
    clone = package.parent / "conf"
    return clone if (package.parent / "setup.cfg").is_file() and clone.is_dir() else package / "conf"


def build(node: Any, kind: type | None = None, *, shared: Mapping[str, Any] | None = None, **runtime: Any) -> Any:
    """Constructs what a `_target_` node of the user's own configuration names: anything that can be imported.

    It is refused if it is not of a `kind`. `runtime` are further arguments of that constructor; `shared` reaches every
    constructor in the node that takes an argument of that name.
    """
    if node is None:
        return None
    values = plain_node(node)
    if isinstance(values, dict) and "_target_" not in values:
        raise ValueError(
            f"{', '.join(map(str, values))} belongs to a group without a chosen class (such as "
            "retriever=none). Choose an option of that group, or leave its arguments out."
        )
    if found := problems(values):
        raise ValueError("the configuration cannot be built:\n" + "\n".join(f"  - {line}" for line in found))
    made = construct(values, shared=shared, **runtime)
    if kind is not None and not isinstance(made, kind):
        named = values["_target_"] if isinstance(values, dict) else values
        raise ValueError(f"{named} does not create a {kind.__name__}: choose another class")
    return made


def plain_node(node: Any) -> Any:
    """A node of the composed configuration as plain containers, its interpolations resolved."""
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node


def argument(node: Mapping[str, Any], name: str) -> Any:
    """What a checked node says of an argument, or what its constructor would take instead; None if it takes none."""
    if name in node:
        return node[name]
    parameter = inspect.signature(importable(str(node["_target_"]))).parameters.get(name)
    return None if parameter is None or parameter.default is parameter.empty else parameter.default


def check(cfg: DictConfig, schema: type, *, complete: bool = True) -> None:
    """Raises one ValueError that lists all problems of a composed configuration; values may be missing where it need
    not be complete."""
    known = {f.name: f for f in fields(schema)}
    found = [f"{key!s} is unknown{nearest(str(key), known)}" for key in cfg if key not in known and key != "hydra"]
    for name, own in known.items():
        if OmegaConf.is_missing(cfg, name):
            found.append(f"{name} {NO_VALUE}{name}=... to the command")
        elif name not in cfg:
            found.append(f"{name} cannot be removed: leave ~{name} out")
        else:
            value = plain_node(cfg[name])
            held = {name: value} if own.metadata.get("node") == "one" else value if own.metadata.get("node") else {}
            wrong = _no_nodes(held, name, optional=own.default != MISSING)
            found += wrong or problems(value, name) + set_by_command(value, name, *runtime_arguments(schema, name))
    if not complete:
        found = [line for line in found if NO_VALUE not in line]
    if found:
        raise ValueError("the configuration has problems:\n" + "\n".join(f"  - {line}" for line in found))


def _no_nodes(held: Any, where: str, *, optional: bool) -> list[str]:
    """What is no node although one has to be there; null is none."""
    if not isinstance(held, dict):
        return (
            []
            if held is None
            else [f"{where} is {held!r}, but it maps names to parts; for example {where}.NAME=null removes one"]
        )
    paths = {name if name == where else f"{where}.{name}": part for name, part in held.items()}
    wrong = {path: part for path, part in paths.items() if not (isinstance(part, dict) or (part is None and optional))}
    return [
        f"{path} is {part!r}: choose an option, or set a class with {path}._target_" for path, part in wrong.items()
    ]


def runtime_arguments(schema: type, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a command gives itself to the outermost constructor of a top-level key, and to every one in it."""
    metadata = next(f for f in fields(schema) if f.name == name).metadata
    return metadata.get("given", ()), metadata.get("shared", ())


def effective(cfg: DictConfig, schema: type) -> dict[str, Any]:
    """The configuration with every default of every constructor written out, as plain containers."""
    known = {f.name for f in fields(schema)}
    return {
        name: with_defaults(value, *runtime_arguments(schema, name)) if name in known else value
        for name, value in plain(cfg).items()
    }


def chosen(group: str) -> str | None:
    """The name of the option chosen for a config group, such as "flickr_aes" for `source`."""
    return HydraConfig.get().runtime.choices.get(group) if HydraConfig.initialized() else None


def run_folder() -> Path:
    """The folder Hydra gave this run (`run_dir=...`, or a time stamp under runs/, to the microsecond: two may begin in
    one second)."""
    folder = make_folder(Path(HydraConfig.get().runtime.output_dir))
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder


def overrides() -> list[str]:
    """The command's own words, as they must be given again to repeat it."""
    return [word.removeprefix("++") for word in HydraConfig.get().overrides.task] if HydraConfig.initialized() else []


def recomposed(command: str, cfg: DictConfig, words: list[str], *, instead_of: str) -> DictConfig:
    """The configuration of the running command with `words` in the place of one of its own."""
    running = HydraConfig.get()
    given = [word for word in running.overrides.task if word.lstrip("+") != instead_of]
    made = compose(command, [*given, *words], return_hydra_config=True)
    with read_write(made), open_dict(made):
        made.hydra.runtime.output_dir = running.runtime.output_dir
        made.hydra.overrides.task = running.overrides.task  # as they must be given again
        HydraConfig.instance().set_config(made.copy())
        del made.hydra
        made.run_dir = cfg.run_dir  # a time stamp would be another one by now
    return made


def command_again(command: str, folder: Path | None = None) -> str:
    """The command line that repeats this one; in a run's folder it goes on there."""
    words = [word for word in overrides() if not word.startswith("run_dir=")]
    return shlex.join(["python", f"{command}.py", *words, *([] if folder is None else [f"run_dir={folder}"])])


def set_by_option(cfg: DictConfig, group: str) -> list[str]:
    """What the chosen option of a group of global values (an experiment) sets, as words of a command line; what the
    command itself changed of it is left out."""
    name = chosen(group)
    sources = GlobalHydra.instance().config_loader().get_sources()
    found = [source for source in sources if name and source.available() and source.is_config(f"{group}/{name}")]
    if not found:
        return []
    option = found[0].load_config(f"{group}/{name}").config
    assert isinstance(option, DictConfig)
    lines = []
    for entry in option.get("defaults", []):
        for key, value in entry.items() if isinstance(entry, DictConfig) else ():
            overridden = str(key).removeprefix("override ").strip("/ ")
            lines += [f"{overridden}={value}"] if chosen(overridden) == value else []
    option.pop("defaults", None)
    values = leaves(OmegaConf.to_container(option))
    return lines + [f"{key}={value}" for key, value in values.items() if OmegaConf.select(cfg, key) == value]


def plain(cfg: Mapping[str, Any] | DictConfig) -> dict[str, Any]:
    """The resolved configuration as plain containers."""
    value = OmegaConf.to_container(cfg if isinstance(cfg, DictConfig) else OmegaConf.create(dict(cfg)), resolve=True)
    assert isinstance(value, dict)
    return typing.cast(dict[str, Any], value)
