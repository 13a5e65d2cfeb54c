"""A gallery made again for one user, from nothing but their manifest.

A manifest may be somebody else's. It holds the configuration of `python sample.py` as plain values: nothing in it is
resolved, its classes must be on the closed list of what a file may name, and it has no paths. Those are in the
`config.yaml` of the run, beside the gallery, which stays behind where a gallery is passed on; else they are asked for.
"""

from collections.abc import Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from prefprior.data.decoding import is_regular
from prefprior.errors import sentence
from prefprior.gallery.manifest import AGAIN, file_hash, read_manifest
from prefprior.gallery.settings import GallerySettings, wrong_values
from prefprior.nodes import MISSING, Find, Loadables, importable, merged, problems, without_paths
from prefprior.runs import GALLERY, read_config

Config = TypeVar("Config")
PARTS = ("source", "embeddings", "decoder", "safety")
PATHS = ("checkpoint", "likes", "dislikes", "ratings", "edit")
NOT_REPEATED = ("run_dir", "trainer", "manifest", "trust")  # where and how a command runs, not what it makes


def portable(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a manifest holds of the configuration of `python sample.py`: all that can be passed on, and no path."""
    command = {key: value for key, value in config.items() if key not in NOT_REPEATED}
    return _bare(command, importable)


def repeated(config: Config, changed: Collection[str]) -> tuple[Config, str | None]:
    """The configuration that made a manifest's pictures, for its user alone, and the hash of its checkpoint.

    `config` is the command's own, a dataclass with `manifest` and `trust`; of it, the keys in `changed` count. Paths
    come from the run folder that the gallery lies in, if it does, or from the command. The manifest may be anybody's.
    """
    given: dict[str, Any] = dict(vars(config))
    path = Path(given["manifest"])
    manifest = read_manifest(path)
    try:
        settings = GallerySettings.from_dict(manifest.get("settings"), f"{path}: settings", given["trust"])
    except ValueError as error:
        raise ValueError(f"{sentence(str(error))} {AGAIN}") from None
    if settings.command is None:
        raise ValueError(
            f"{path} belongs to a gallery made during training; its weights were not kept. Sample from a "
            "checkpoint: python sample.py checkpoint=... 'users=[...]'"
        )
    command = _checked(path, settings.command, config)
    in_run_folder = len(path.absolute().parents) > 3 and path.absolute().parents[2].name == GALLERY
    command = _filled(command, read_config(path.absolute().parents[3]) if in_run_folder else {})
    if command["checkpoint"] == MISSING:
        command["checkpoint"] = None  # the last run's, which has the same hash or is refused
    if all(command[key] is None for key in ("likes", "dislikes", "ratings", "interpolate")):
        command["users"] = [manifest["person"]["name"]]
    for key in {*changed} & command.keys():
        partial = isinstance(given[key], dict) and "_target_" not in given[key]  # such as decoder.steps=10
        command[key] = merged(command[key] or {}, given[key]) if partial else given[key]
    lost = [f"{key} has no value: add {key}=... to the command" for key in PATHS if command[key] == MISSING]
    lost += [line for key in PARTS for line in problems(command[key], key) if "has no value" in line]
    if lost:
        raise ValueError(f"{path} contains no paths:\n" + "\n".join(f"  - {line}" for line in lost))
    _require_original(command["edit"], settings.edit)
    return type(config)(**(given | command)), settings.checkpoint_sha256


def _require_original(picture: str | None, sha256: str | None) -> None:
    """Refuses another picture than the one that was edited."""
    if picture is not None and sha256 is not None and is_regular(Path(picture)) and file_hash(picture) != sha256:
        raise ValueError(
            f"edit={picture} is not the picture of this manifest: its hash is {file_hash(picture)[:12]}, the manifest "
            f"has {sha256[:12]}. Give edit=FILE of the original, or make a new edit without manifest=..."
        )


def _checked(path: Path, command: Mapping[str, Any], config: Any) -> dict[str, Any]:
    """A manifest's command, if its keys and types are those of the configuration and its classes on the closed list."""
    known = {field.name for field in fields(config)} - set(NOT_REPEATED)
    if missing := sorted(known - command.keys()):
        raise ValueError(f"{path}: settings.command lacks {', '.join(missing[:6])}. Make the gallery again.")
    find, where = Loadables(["prefprior", *config.trust]), "settings.command"
    plain = {key: None if key in PATHS and value == MISSING else value for key, value in command.items()}
    found = wrong_values(
        type(config), {key: value for key, value in plain.items() if key not in (*PARTS, *NOT_REPEATED)}, where
    )
    found += [f"{where}.{key} may not be given" for key in NOT_REPEATED if key in command]
    for key in PARTS:
        if not isinstance(command[key], dict | None):
            found.append(f"{where}.{key} is {command[key]!r}; it must be a JSON object or null")
        # A missing value is a path, which is filled in later.
        found += [line for line in problems(command[key], f"{where}.{key}", find) if "has no value" not in line]
    if found:
        raise ValueError(f"{path} has problems:\n" + "\n".join(f"  - {line}" for line in found) + f"\n{AGAIN}")
    try:
        return _bare(command, find)
    except ValueError as error:
        raise ValueError(f"{path}: {sentence(str(error))} {AGAIN}") from None


def _bare(command: Mapping[str, Any], find: Find) -> dict[str, Any]:
    """A command whose paths are missing values. Where no class says what is a path, any text may be one."""

    def bare(part: Any) -> Any:
        if isinstance(part, Mapping):
            return without_paths(part, find)[0] if "_target_" in part else {k: bare(v) for k, v in part.items()}
        return MISSING if isinstance(part, str) else part

    return {**command, **{key: bare(command[key]) for key in (*PARTS, *PATHS)}}


def _filled(bare: Any, own: Any) -> Any:
    """Values with what is missing taken from another."""
    if bare == MISSING:
        return own
    if isinstance(bare, dict):
        return {k: _filled(v, own.get(k, MISSING) if isinstance(own, dict) else MISSING) for k, v in bare.items()}
    return bare
