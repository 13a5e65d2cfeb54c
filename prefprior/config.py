"""From a command line to a checked configuration: Hydra composes, and every key is compared with what takes it.

The constructor is the schema (`prefprior.nodes`); the top level may carry the fields of the command's dataclass. All
problems are told in one message, each with the nearest known name. A user's own configuration may name anything that
Python can import. What comes out of a checkpoint or a manifest never passes through here.
"""

import errno
import inspect
import os
import re
import shlex
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from prefprior.errors import RunFirstError, nearest
from prefprior.files import make_folder
from prefprior.invocation import as_called
from prefprior.nodes import MISSING, NO_VALUE, construct, importable, leaves, problems, set_by_command, with_defaults
from prefprior.processes import end_with_parent

if typing.TYPE_CHECKING:
    from prefprior.runs import Run

DEVICE_REMEDY = " Choose what this machine has: trainer=cpu, trainer.accelerator=cpu, or another trainer.devices=..."


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
            f"{', '.join(map(str, values))} was given for a part of which no class is chosen (such as "
            "retriever=none). Choose one, or leave its arguments out."
        )
    if found := problems(values):
        raise ValueError("this cannot be built:\n" + "\n".join(f"  - {line}" for line in found))
    made = construct(values, shared=shared, **runtime)
    if kind is not None and not isinstance(made, kind):
        named = values["_target_"] if isinstance(values, dict) else values
        raise ValueError(f"{named} makes no {kind.__name__}: choose another class")
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
            found.append(f"{name} cannot be taken out: leave ~{name} away")
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
        return [] if held is None else [f"{where} is {held!r}, but takes parts by name, such as {where}.NAME=null"]
    paths = {name if name == where else f"{where}.{name}": part for name, part in held.items()}
    wrong = {path: part for path, part in paths.items() if not (isinstance(part, dict) or (part is None and optional))}
    return [f"{path} is {part!r}: choose an option, or a class by {path}._target_" for path, part in wrong.items()]


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


def run_command(name: str, schema: type, run: "Callable[[DictConfig], Path | Run]") -> None:
    """The body of an entry file: composes conf/<name>.yaml with the command line, checks it and runs.

    A ValueError is a message for people: it is printed alone and the command exits with 1. Anything else is a fault
    of ours and keeps its traceback.
    """
    end_with_parent()
    ConfigStore.instance().store(name=f"{name}_schema", node=schema)
    OmegaConf.register_new_resolver("groups", lambda: _groups(name), replace=True)  # these two for --help
    OmegaConf.register_new_resolver("as_called", as_called, replace=True)
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra would otherwise cut our tracebacks short
    # `a.b=c` may name any argument of the constructor behind `a`, also one that no YAML lists: `check` knows them all.
    words, shown = _without_cfg_job([_open_nodes(word) for word in sys.argv[1:]])
    sys.argv = [sys.argv[0], *words]

    def task(cfg: DictConfig) -> float | None:
        # Not at the top: what is said without running anything is said in a second.
        from lightning.fabric.utilities.exceptions import MisconfigurationException
        from lightning.pytorch.utilities import rank_zero_only

        try:
            check(cfg, schema, complete=not shown)
            if shown:
                print(yaml.safe_dump(effective(cfg, schema), sort_keys=False, allow_unicode=True), end="")
                _remove_unused_folder()
                return None
            made = _run(cfg, run)
        except (ValueError, MisconfigurationException) as error:  # the latter: Lightning's word on devices and the like
            if isinstance(error, RunFirstError):
                error = error.completed(overrides(), chosen("source"))
            _remove_unused_folder()
            sys.exit(as_called(f"error: {error}{DEVICE_REMEDY if _lacks_device(error) else ''}"))
        except BrokenPipeError:
            _stop_unread()
        rank_zero_only(print)(f"folder: {made.folder}", flush=True)  # the last line, once, however many processes
        return made.figure

    try:
        hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name=name)(task)()
        sys.stdout.flush()
    except (HydraException, OmegaConfBaseException, ValueError) as error:  # the task's own are told where they arise
        sys.exit(f"error: {_with_nearest(error, schema)}")
    except BrokenPipeError:  # of a help page
        _stop_unread()
    except OSError as error:  # Hydra could not make the run's folder, or a library could not write into it
        remedy = "Free some space" if error.errno == errno.ENOSPC else "Choose a run_dir you may write to"
        sys.exit(f"error: cannot write {error.filename or 'into the run folder'}: {error.strerror or error}. {remedy}.")
    except KeyboardInterrupt:
        sys.exit("interrupted")


def _remove_unused_folder() -> None:
    """Hydra made the run's folder before we could look at the configuration."""
    made = Path(HydraConfig.get().runtime.output_dir)
    with suppress(OSError):
        if made != Path.cwd():
            made.rmdir()


def _stop_unread() -> typing.NoReturn:
    """Ends a command whose output goes to a program that has ended."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python tries once more as it ends
    sys.exit("error: stopped, because nobody reads the output any more (`| head`?). Write it to a file: > out.txt")


def call(name: str, schema: type, run: "Callable[[DictConfig], Path | Run]", overrides: Sequence[str]) -> "Run":
    """A command as a function: composes conf/<name>.yaml with `overrides`, checks it and runs.

    What `run_command` prints to people is raised here.
    """
    ConfigStore.instance().store(name=f"{name}_schema", node=schema)
    before = (HydraConfig.instance().cfg, GlobalHydra.instance().hydra)  # a command may call another one's function
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf_folder()), version_base="1.3"):
            cfg = compose(name, [_open_nodes(word) for word in overrides], return_hydra_config=True)
            with open_dict(cfg):
                cfg.hydra.runtime.output_dir = str(Path(cfg.run_dir).absolute())
                HydraConfig.instance().set_config(cfg.copy())
                del cfg.hydra
            check(cfg, schema)
            made = _run(cfg, run)
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(_with_nearest(error, schema)) from error
    except RunFirstError as error:
        raise error.completed(list(overrides), chosen("source")) from None
    finally:
        HydraConfig.instance().cfg = before[0]
        GlobalHydra.instance().clear()
        if before[1] is not None:
            GlobalHydra.instance().initialize(before[1])
    return replace(made, folder=made.folder.absolute())


def _run(cfg: DictConfig, run: "Callable[[DictConfig], Path | Run]") -> "Run":
    """Runs a command as the only writer of its folder."""
    from prefprior.locks import only_writer
    from prefprior.runs import Run

    with only_writer(run_folder(), "Wait until it has finished, stop it, or choose another run_dir."):
        made = run(cfg)
    return made if isinstance(made, Run) else Run(made)


def _lacks_device(error: Exception) -> bool:
    """Whether Lightning asked for a device that is not there: it has no exception of its own for that."""
    words = ("backend", "can not run on your system", "your machine only has")
    return type(error).__name__ == "MisconfigurationException" and any(word in str(error) for word in words)


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


def command_again(command: str, folder: Path | None = None) -> str:
    """The command line that repeats this one; in a run's folder it goes on there."""
    words = [word for word in overrides() if not word.startswith("run_dir=")]
    return shlex.join(["python", f"{command}.py", *words, *([] if folder is None else [f"run_dir={folder}"])])


def _groups(command: str) -> str:
    """The groups that a command has, each with its options: Hydra itself lists those of all commands."""
    defaults = OmegaConf.load(conf_folder() / f"{command}.yaml").defaults
    words = [next(iter(entry)) for entry in defaults if OmegaConf.is_dict(entry)]
    groups = dict.fromkeys(str(word).split("@")[0].removeprefix("override ").strip("/ ") for word in words)
    options = {group: sorted(path.stem for path in (conf_folder() / group).glob("*.yaml")) for group in groups}
    return "\n".join(f"{group}: {', '.join(names)}" for group, names in options.items())


def _without_cfg_job(words: list[str]) -> tuple[list[str], bool]:
    """The words less `--cfg job`, and whether that was among them: Hydra's own prints only what deviates from a
    constructor's defaults."""
    for option in (["--cfg", "job"], ["-c", "job"], ["--cfg=job"]):
        for i in range(len(words) - len(option) + 1):
            if words[i : i + len(option)] == option and not {"-p", "--package"} & set(words):
                rest = words[:i] + words[i + len(option) :]
                return [word for word in rest if word != "--resolve"], True  # it is resolved in any case
    return words, False


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


def _open_nodes(word: str) -> str:
    key = word.split("=", 1)[0]
    if "=" not in word or word.startswith(("-", "+", "~", "hydra.")) or "." not in key or "/" in key or "@" in key:
        return word
    return f"++{word}"


def _with_nearest(error: BaseException, schema: type) -> str:
    """Hydra's own message, its cause, and the nearest known name for what it did not know."""
    lines = str(error).strip().splitlines()
    if error.__cause__ is not None:
        lines += str(error.__cause__).strip().splitlines()[:1]
    message = "\n".join(lines)
    known = [f.name for f in fields(schema)]
    unknown = re.findall(r"(?:Key|override|delete) '(\w+)", message)
    if chosen_oddly := _choices_without_name():
        return chosen_oddly
    if "override_grammar" in message or "Ambiguous value" in message:
        return message + "\nQuote text once for the shell and once for Hydra: 'key=\"two words, and a comma\"'"
    if "Available options" in message:
        options = [line.strip() for line in message.split("Available options")[1].splitlines()[1:] if line.strip()]
        given = message.split("Could not find '")[-1].split("'")[0].split("/")[-1]
        hint = nearest(given, options)
        message = message.split("Config search path")[0].strip()
    else:
        hint = nearest(unknown[0], known) if unknown else ""
    return message + (f"\n{hint.removeprefix('; ')}" if hint else "")


def _choices_without_name() -> str | None:
    """Options of groups that are no names, such as `decoder=null`: Hydra does not say which word it was."""
    told = []
    for word in sys.argv[1:]:
        group, given, value = word.lstrip("+").partition("=")
        if given and group.partition("@")[0] == "":
            told.append(f"{word}: there is no key before `=`")
        folder = conf_folder() / group
        named = re.fullmatch(r"\[.*\]|[A-Za-z_][\w,-]*", value) and value not in ("null", "true", "false")
        if given and group and folder.is_dir() and not named:
            options = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
            told.append(f"{word}: an option is chosen by its name ({options})")
    return "\n".join(told) or None


def plain(cfg: Mapping[str, Any] | DictConfig) -> dict[str, Any]:
    """The resolved configuration as plain containers."""
    value = OmegaConf.to_container(cfg if isinstance(cfg, DictConfig) else OmegaConf.create(dict(cfg)), resolve=True)
    assert isinstance(value, dict)
    return typing.cast(dict[str, Any], value)
