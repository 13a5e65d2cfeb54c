"""A gallery made again for one user, from nothing but their manifest.

A manifest may be somebody else's. Only plain values are taken from it: no class, no path, nothing that OmegaConf would
resolve. What a class or a path decides is looked up here (the decoder, by its option) or asked for on the command line.
"""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from prefprior.config import check, conf_folder, overrides
from prefprior.gallery.manifest import read_manifest

PLAIN = (str, int, float, bool, type(None))
PATHS = ("likes", "dislikes", "ratings")  # of someone in no data set
GROUPS = ("source", "embeddings", "decoder", "safety")
NOT_REPEATED = ("run_dir", "manifest", "trainer", "trust")


def repeated(cfg: DictConfig, schema: type) -> tuple[DictConfig, str]:
    """The configuration a manifest was made with, for its user alone; the command's own words come on top."""
    config, made, sha256 = repeated_values(read_manifest(cfg.manifest), cfg.manifest)
    given = {word.split("=", 1)[0].split(".")[0].split("/")[-1] for word in overrides()}
    known = {field.name for field in fields(schema)}
    for key in PATHS:
        if config.get(key) is not None and not given & set(PATHS):
            raise ValueError(
                f"{cfg.manifest} was made from {key}={config[key]}. A manifest is not trusted with paths: add "
                f"{key}=... to the command."
            )
    taken = {key: value for key, value in made.items() if key in known and key not in given}
    merged = OmegaConf.merge(cfg, OmegaConf.create(taken))
    assert isinstance(merged, DictConfig)
    for key in GROUPS:
        if key not in given and isinstance(config.get(key), Mapping):
            merged[key] = _own(key, config[key], cfg.manifest)
    check(merged, schema)
    return merged, sha256


def repeated_values(manifest: dict[str, Any], path: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    """A manifest's whole configuration, the plain values that are taken from it, and its checkpoint's hash."""
    config, name, sha256 = _described(manifest, path)
    left_out = (*NOT_REPEATED, *GROUPS, *PATHS)
    made = {key: _plain(value, f"{path}: {key}") for key, value in config.items() if key not in left_out}
    if all(config.get(key) is None for key in (*PATHS, "interpolate")):
        made["users"] = [_plain(name, f"{path}: person.name")]
    return config, made, sha256


def _described(manifest: dict[str, Any], path: str) -> tuple[dict[str, Any], str, str]:
    """The configuration, the user's name and the checkpoint's hash, all of which there must be."""
    settings = manifest.get("settings")
    config = settings.get("config") if isinstance(settings, dict) else None
    if isinstance(settings, dict) and config is None:
        raise ValueError(
            f"{path} is of a gallery made in training, whose weights are gone. Sample from a checkpoint: "
            "python sample.py checkpoint=... users=[...]"
        )
    person = manifest.get("person")
    name = person.get("name") if isinstance(person, dict) else None
    checkpoint = settings.get("checkpoint") if isinstance(settings, dict) else None
    sha256 = checkpoint.get("sha256") if isinstance(checkpoint, dict) else None
    if not isinstance(config, dict) or not isinstance(name, str) or not (isinstance(sha256, str) and len(sha256) == 64):
        raise ValueError(f"{path} is damaged: it lacks settings, a person's name or the checkpoint's hash.")
    return config, name, sha256


def _plain(value: Any, where: str) -> Any:
    """A value that is text, a number, or a list of them; text that OmegaConf would resolve is refused."""
    parts = value if isinstance(value, list) else [value]
    if not all(isinstance(part, PLAIN) for part in parts) or any("${" in p for p in parts if isinstance(p, str)):
        raise ValueError(f"{where} is not a plain value: the manifest is damaged, or was not written by prefprior.")
    return value


def _own(group: str, node: Mapping[str, Any], path: str) -> DictConfig | None:
    """The option of a config group that a manifest's node was made from, with the numbers that deviated."""
    if "_target_" not in node:
        if group in ("decoder", "safety") and all(isinstance(v, (int, float)) for v in node.values()):
            return OmegaConf.create(dict(node))
        raise ValueError(f"{path} was made with {group}.{', '.join(map(str, node))} changed. Give them again.")
    same = ("_target_", "model", "space_name")
    for file in sorted((conf_folder() / group).glob("*.yaml")):
        option = OmegaConf.load(file)
        if isinstance(option, DictConfig) and all(option.get(key) == node.get(key) for key in same):
            for key, value in node.items():
                if isinstance(value, (int, float)):
                    option[key] = value
            return option
    raise ValueError(f"{path} was made with a {group} that is no option here. Add {group}=... to the command.")


def require_checkpoint(path: Path, found: str, wanted: str | None) -> None:
    """Refuses another checkpoint than the one that pictures were made with."""
    if wanted not in (None, found):
        raise ValueError(
            f"{path} is not the checkpoint these pictures were made with: its hash is {found[:12]}, the manifest's "
            f"{wanted[:12]}. Give checkpoint=... of the original."
        )
