"""From a command line to a checked configuration: Hydra composes, and every key is compared with what takes it.

The constructor is the schema. A node with `_target_` may carry the arguments of that constructor and nothing else; the
top level may carry the fields of the command's dataclass. All problems are told in one message, each with the nearest
known name.
"""

import errno
import functools
import inspect
import os
import sys
import types
import typing
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.utils import get_object
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from prefprior.errors import RunFirstError, nearest
from prefprior.files import make_folder

# What a configuration may construct: classes of ours, and of the two libraries that experiments name directly. Nodes
# also come out of checkpoints and manifests that people pass on, so this is what keeps loading one from running code.
TRUSTED = ("prefprior.", "torch.optim.", "lightning.")
# Functions among them: one makes another library's object, one a prior whose checkpoint does not know where it began.
FUNCTIONS = ("prefprior.callbacks.wandb_logger.wandb_logger", "prefprior.models.prior.pretrained.from_published")
SPECIAL = {"_target_", "_partial_", "_convert_", "_recursive_"}
DEVICE_REMEDY = " Choose what this machine has: trainer=cpu, trainer.accelerator=cpu, or another trainer.devices=..."


def conf_folder() -> Path:
    """The clone's `conf/`, or the copy inside an installed wheel."""
    package = Path(__file__).parent
    clone = package.parent / "conf"
    return clone if (package.parent / "setup.cfg").is_file() and clone.is_dir() else package / "conf"


def build(node: Any, *, shared: Mapping[str, Any] | None = None, **runtime: Any) -> Any:
    """Constructs what a `_target_` node names. `runtime` are further arguments of that constructor; `shared` reaches
    every constructor in the node that takes an argument of that name."""
    if node is None:
        return None
    node = node if OmegaConf.is_config(node) else OmegaConf.create(node)
    if found := problems(node):
        raise ValueError("this cannot be built:\n" + "\n".join(f"  - {line}" for line in found))
    plain_node = OmegaConf.to_container(node, resolve=True)
    if isinstance(plain_node, dict) and "_target_" not in plain_node:
        raise ValueError(
            f"{', '.join(map(str, plain_node))} was given for a part of which no class is chosen (such as "
            "retriever=none). Choose one, or leave its arguments out."
        )
    return _made(plain_node, shared or {}, runtime)


def _made(node: Any, shared: Mapping[str, Any], runtime: Mapping[str, Any] = types.MappingProxyType({})) -> Any:
    if isinstance(node, list):
        return [_made(part, shared) for part in node]
    if not isinstance(node, dict):
        return node
    arguments = {key: _made(value, shared) for key, value in node.items() if key not in SPECIAL}
    if "_target_" not in node:
        return arguments
    callee = get_object(str(node["_target_"]))
    known, _ = _arguments(callee)
    given = arguments | {key: value for key, value in shared.items() if known is not None and key in known}
    made = functools.partial(callee, **(given | dict(runtime)))
    return made if node.get("_partial_") else made()


def problems(node: Any, where: str = "") -> list[str]:
    """Everything wrong in a composed node: unknown keys, missing values, wrong types, foreign targets."""
    if isinstance(node, ListConfig):
        return [p for i in range(len(node)) for p in problems(node._get_node(i), f"{where}[{i}]")]
    if not isinstance(node, DictConfig) or node._is_none():
        return []
    if node._is_missing():
        return [f"{where} has no value: add {where}=... to the command"]
    found: list[str] = []
    target = node.get("_target_") if "_target_" in node else None
    hints: dict[str, Any] = {}
    known: set[str] | None = None
    if target is not None:
        refused = (
            f"{where}._target_ is {target}: only classes of {', '.join(t + '*' for t in TRUSTED)} may be constructed"
        )
        if not str(target).startswith(TRUSTED):
            return [refused]
        try:
            callee = get_object(str(target))
        except Exception as error:  # whatever an import raises, the person needs the key it came from
            return [f"{where}._target_ is {target}, which cannot be imported: {error}"]
        # The name alone proves nothing: `prefprior.files.os.remove` begins well too.
        ours = str(getattr(callee, "__module__", "")).startswith(TRUSTED)
        if not ours or not (inspect.isclass(callee) or target in FUNCTIONS):
            return [refused]
        known, hints = _arguments(callee)
    for key in node:
        path = f"{where}.{key!s}" if where else str(key)
        if OmegaConf.is_missing(node, key):
            found.append(f"{path} has no value: add {path}=... to the command")
            continue
        if key in SPECIAL:
            continue
        if known is not None and key not in known:
            found.append(f"{path} is unknown: {target} takes {', '.join(sorted(known))}{nearest(str(key), known)}")
            continue
        child = node._get_node(key)
        if isinstance(child, (DictConfig, ListConfig)):
            found += problems(child, path)
        elif key in hints and not _fits(node[key], hints[str(key)]):
            found.append(f"{path} is {node[key]!r}; {target} wants {_readable(hints[str(key)])}")
    return found


def argument(node: DictConfig, name: str) -> Any:
    """What a checked node says of an argument, or what its constructor would take instead; None if it takes none."""
    if name in node:
        return node[name]
    parameter = inspect.signature(get_object(str(node["_target_"]))).parameters.get(name)
    return None if parameter is None or parameter.default is parameter.empty else parameter.default


def check(cfg: DictConfig, schema: type) -> None:
    """Raises one ValueError that lists all problems of a composed configuration."""
    known = [f.name for f in fields(schema)]
    found = [f"{key!s} is unknown{nearest(str(key), known)}" for key in cfg if key not in known and key != "hydra"]
    for name in known:
        if OmegaConf.is_missing(cfg, name):
            found.append(f"{name} has no value: add {name}=... to the command")
        else:
            found += problems(cfg._get_node(name), name)
    if found:
        raise ValueError("the configuration has problems:\n" + "\n".join(f"  - {line}" for line in found))


def run_command(name: str, schema: type, run: Callable[[DictConfig], Path | None]) -> None:
    """The body of an entry file: composes conf/<name>.yaml with the command line, checks it and runs.

    A ValueError is a message for people: it is printed alone and the command exits with 1. Anything else is a fault
    of ours and keeps its traceback.
    """
    ConfigStore.instance().store(name=f"{name}_schema", node=schema)
    OmegaConf.register_new_resolver("groups", lambda: _groups(name), replace=True)  # for --help
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra would otherwise cut our tracebacks short
    # `a.b=c` may name any argument of the constructor behind `a`, also one that no YAML lists: `check` knows them all.
    sys.argv = [sys.argv[0], *(_open_nodes(word) for word in sys.argv[1:])]

    def task(cfg: DictConfig) -> None:
        try:
            check(cfg, schema)
            folder = run(cfg)
        except (ValueError, MisconfigurationException) as error:  # the latter: Lightning's word on devices and the like
            if isinstance(error, RunFirstError):
                error = error.completed(overrides(), chosen("source"))
            with suppress(OSError):  # Hydra made the run's folder before we could look at the configuration
                Path(HydraConfig.get().runtime.output_dir).rmdir()
            sys.exit(f"error: {error}{DEVICE_REMEDY if _lacks_device(error) else ''}")
        if folder is not None:  # the last line, once, also where there are many processes
            rank_zero_only(print)(f"folder: {folder}", flush=True)

    try:
        hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name=name)(task)()
    except (HydraException, OmegaConfBaseException) as error:
        sys.exit(f"error: {_with_nearest(error, schema)}")
    except OSError as error:  # Hydra could not make the run's folder, or a library could not write into it
        remedy = "Free some space" if error.errno == errno.ENOSPC else "Choose a run_dir you may write to"
        sys.exit(f"error: cannot write {error.filename or 'into the run folder'}: {error.strerror or error}. {remedy}.")
    except KeyboardInterrupt:
        sys.exit("interrupted")


def _lacks_device(error: Exception) -> bool:
    """Whether Lightning asked for a device that is not there: it has no exception of its own for that."""
    words = ("backend", "can not run on your system", "your machine only has")
    return isinstance(error, MisconfigurationException) and any(word in str(error) for word in words)


def chosen(group: str) -> str | None:
    """The name of the option chosen for a config group, such as "flickr_aes" for `source`."""
    return HydraConfig.get().runtime.choices.get(group) if HydraConfig.initialized() else None


def run_folder() -> Path:
    """The folder Hydra gave this run (`run_dir=...`, or a time stamp under runs/)."""
    folder = make_folder(Path(HydraConfig.get().runtime.output_dir))
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder


def overrides() -> list[str]:
    """The command's own words, as they must be given again to repeat it."""
    return [word.removeprefix("++") for word in HydraConfig.get().overrides.task] if HydraConfig.initialized() else []


def _groups(command: str) -> str:
    """The groups that a command has, each with its options: Hydra itself lists those of all commands."""
    defaults = OmegaConf.load(conf_folder() / f"{command}.yaml").defaults
    words = [next(iter(entry)) for entry in defaults if OmegaConf.is_dict(entry)]
    groups = dict.fromkeys(str(word).split("@")[0].removeprefix("override ").strip("/ ") for word in words)
    options = {group: sorted(path.stem for path in (conf_folder() / group).glob("*.yaml")) for group in groups}
    return "\n".join(f"{group}: {', '.join(names)}" for group, names in options.items())


def _open_nodes(word: str) -> str:
    key = word.split("=", 1)[0]
    if "=" not in word or word.startswith(("-", "+", "~", "hydra.")) or "." not in key or "/" in key or "@" in key:
        return word
    return f"++{word}"


def _arguments(callee: Any) -> tuple[set[str] | None, dict[str, Any]]:
    parameters = inspect.signature(callee).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return None, {}
    function = callee.__init__ if inspect.isclass(callee) else callee
    try:
        hints = typing.get_type_hints(function)
    except NameError:  # a hint that only a type checker can resolve: keys are still checked, types are not
        hints = {}
    return {name for name in parameters if name != "self"}, hints


def _fits(value: Any, hint: Any) -> bool:
    """Whether a plain value suits a plain annotation; anything but numbers, text and None is not judged."""
    options = (
        typing.get_args(hint)
        if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
        else (hint,)
    )
    plain = {int, float, str, bool, type(None)}
    if not set(options) <= plain or not isinstance(value, tuple(plain)):
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


def _with_nearest(error: BaseException, schema: type) -> str:
    """Hydra's own message, its cause, and the nearest known name for what it did not know."""
    lines = str(error).strip().splitlines()
    if error.__cause__ is not None:
        lines += str(error.__cause__).strip().splitlines()[:1]
    message = "\n".join(lines)
    known = [f.name for f in fields(schema)]
    unknown = [word for word in message.split("'")[1::2] if word.isidentifier() and word not in known]
    if "Available options" in message:
        options = [line.strip() for line in message.split("Available options")[1].splitlines()[1:] if line.strip()]
        given = message.split("Could not find '")[-1].split("'")[0].split("/")[-1]
        hint = nearest(given, options)
        message = message.split("Config search path")[0].strip()
    else:
        hint = nearest(unknown[0], known) if unknown else ""
    return message + (f"\n{hint.removeprefix('; ')}" if hint else "")


def plain(cfg: Mapping[str, Any] | DictConfig) -> dict[str, Any]:
    """The resolved configuration as plain containers."""
    value = OmegaConf.to_container(cfg if isinstance(cfg, DictConfig) else OmegaConf.create(dict(cfg)), resolve=True)
    assert isinstance(value, dict)
    return typing.cast(dict[str, Any], value)
