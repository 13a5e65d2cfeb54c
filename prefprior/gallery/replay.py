"""A gallery made again for one person, from nothing but their manifest."""

from dataclasses import fields

from omegaconf import DictConfig, OmegaConf

from prefprior.config import check, overrides
from prefprior.gallery.manifest import read_manifest


def repeated(cfg: DictConfig, schema: type) -> tuple[DictConfig, str]:
    """The configuration a manifest was made with, for its person alone; the command's own words come on top."""
    manifest = read_manifest(cfg["from"])
    settings = manifest["settings"]
    if "config" not in settings:
        raise ValueError(
            f"{cfg['from']} is of a gallery made in training, whose weights are gone. Sample from a checkpoint: "
            "python sample.py checkpoint=... users=[...]"
        )
    merged = OmegaConf.create(settings["config"])
    if all(settings["config"][key] is None for key in ("likes", "dislikes", "ratings", "interpolate")):
        merged.users = [manifest["person"]["name"]]
    given = {word.split("=", 1)[0].split(".")[0].split("/")[-1] for word in overrides()} - {"from"}
    for key in (given & {f.name for f in fields(schema)}) | {"run_dir", "from", "trainer"}:
        partial = isinstance(cfg[key], DictConfig) and "_target_" not in cfg[key]  # such as decoder.steps=10
        merged[key] = OmegaConf.merge(merged[key], cfg[key]) if partial and merged.get(key) else cfg[key]
    check(merged, schema)  # a manifest is a file like any other, and may have been written by anybody
    return merged, settings["checkpoint"]["sha256"]
