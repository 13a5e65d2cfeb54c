"""The commands: from words to a run, on the command line (`run_command`) and as functions (`call`).

Hydra composes, `prefprior.config` checks. What is wrong is told in a sentence, with what to do.
"""

import errno
import os
import re
import sys
import typing
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path

import hydra
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from prefprior.config import DEVICE_REMEDY, check, chosen, conf_folder, effective, overrides, run_folder
from prefprior.errors import RunFirstError, nearest
from prefprior.invocation import as_called
from prefprior.processes import end_with_parent

if typing.TYPE_CHECKING:
    from prefprior.runs import Run


def run_command(name: str, schema: type, run: "Callable[[DictConfig], Path | Run]") -> None:
    """The body of an entry file: composes conf/<name>.yaml with the command line, checks it and runs.

    A ValueError is a message for the user: it is printed alone and the command exits with 1. Anything else is a fault
    of ours and keeps its traceback.
    """
    end_with_parent()
    ConfigStore.instance().store(name=f"{name}_schema", node=schema)
    OmegaConf.register_new_resolver("groups", lambda: _groups(name), replace=True)  # these two for --help
    OmegaConf.register_new_resolver("as_called", as_called, replace=True)
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra would otherwise cut our tracebacks short
    words, shown = _without_cfg_job([open_nodes(word) for word in sys.argv[1:]])
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
        sys.exit(f"error: {_with_nearest(error, schema, words)}")
    except BrokenPipeError:  # of a help page
        _stop_unread()
    except OSError as error:  # Hydra could not make the run's folder, or a library could not write into it
        remedy = "Free some disk space" if error.errno == errno.ENOSPC else "Choose a run_dir that you may write to"
        sys.exit(f"error: cannot write {error.filename or 'into the run folder'}: {error.strerror or error}. {remedy}.")
    except KeyboardInterrupt:
        sys.exit("interrupted")


def call(name: str, schema: type, run: "Callable[[DictConfig], Path | Run]", words: Sequence[str]) -> "Run":
    """A command as a function: composes conf/<name>.yaml with `words`, checks it and runs.

    What `run_command` prints is raised here.
    """
    ConfigStore.instance().store(name=f"{name}_schema", node=schema)
    before = (HydraConfig.instance().cfg, GlobalHydra.instance().hydra)  # a command may call another one's function
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf_folder()), version_base="1.3"):
            cfg = compose(name, [open_nodes(word) for word in words], return_hydra_config=True)
            with open_dict(cfg):
                cfg.hydra.runtime.output_dir = str(Path(cfg.run_dir).absolute())
                HydraConfig.instance().set_config(cfg.copy())
                del cfg.hydra
            check(cfg, schema)
            made = _run(cfg, run)
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(_with_nearest(error, schema, words)) from error
    except RunFirstError as error:
        raise error.completed(list(words), chosen("source")) from None
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


def _remove_unused_folder() -> None:
    """Hydra made the run's folder before we could look at the configuration."""
    made = Path(HydraConfig.get().runtime.output_dir)
    with suppress(OSError):
        if made != Path.cwd():
            made.rmdir()


def _stop_unread() -> typing.NoReturn:
    """Ends a command whose output goes to a program that has ended."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python tries once more as it ends
    sys.exit(
        "error: stopped, because the program that reads the output has closed it (`| head`?). Write "
        "to a file instead: > out.txt"
    )


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


def open_nodes(word: str) -> str:
    """`a.b=c` as a word that Hydra takes for any argument of the constructor behind `a`, also one that no YAML lists.

    What the constructor does not know is refused by `check`.
    """
    key = word.split("=", 1)[0]
    if "=" not in word or word.startswith(("-", "+", "~", "hydra.")) or "." not in key or "/" in key or "@" in key:
        return word
    return f"++{word}"


def _lacks_device(error: Exception) -> bool:
    """Whether Lightning asked for a device that is not there: it has no exception of its own for that."""
    words = ("backend", "can not run on your system", "your machine only has")
    return type(error).__name__ == "MisconfigurationException" and any(word in str(error) for word in words)


def _with_nearest(error: BaseException, schema: type, words: Sequence[str]) -> str:
    """Hydra's own message, its cause, and the nearest known name for what it did not know."""
    lines = str(error).strip().splitlines()
    if error.__cause__ is not None:
        lines += str(error.__cause__).strip().splitlines()[:1]
    message = "\n".join(lines)
    known = [f.name for f in fields(schema)]
    unknown = re.findall(r"(?:Key|override|delete) '(\w+)", message)
    if chosen_oddly := _choices_without_name(words):
        return chosen_oddly
    if "override_grammar" in message or "Ambiguous value" in message:
        return message + "\nQuote text for the shell and for Hydra: 'key=\"two words, and a comma\"'"
    if "Available options" in message:
        options = [line.strip() for line in message.split("Available options")[1].splitlines()[1:] if line.strip()]
        given = message.split("Could not find '")[-1].split("'")[0].split("/")[-1]
        hint = nearest(given, options)
        message = message.split("Config search path")[0].strip()
    else:
        hint = nearest(unknown[0], known) if unknown else ""
    return message + (f"\n{hint.removeprefix('; ')}" if hint else "")


def _choices_without_name(words: Sequence[str]) -> str | None:
    """Options of groups that are no names, such as `decoder=null`: Hydra does not say which word it was."""
    told = []
    for word in words:
        group, given, value = word.lstrip("+").partition("=")
        if given and group.partition("@")[0] == "":
            told.append(f"{word}: the key before `=` is missing")
        folder = conf_folder() / group
        named = re.fullmatch(r"\[.*\]|[A-Za-z_][\w,-]*", value) and value not in ("null", "true", "false")
        if given and group and folder.is_dir() and not named:
            options = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
            told.append(f"{word}: choose an option by its name ({options})")
    return "\n".join(told) or None
