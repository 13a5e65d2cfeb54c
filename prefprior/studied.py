"""What `serve` compares in a study: two runs, how each asks, and the settings of both, as its configuration names
them."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from prefprior.checkpoint import describe
from prefprior.composition import data_without_paths
from prefprior.config import build, plain_node
from prefprior.elicitation.belief import Moves
from prefprior.elicitation.exploration import Exploration
from prefprior.errors import require_choice
from prefprior.gallery.manifest import file_hash
from prefprior.nodes import with_defaults
from prefprior.runs import find_checkpoint
from prefprior.studio.inference import Making
from prefprior.studio.served import PAGES
from prefprior.studio.store.studies import ARMS, require_two

SETTINGS = (
    "decoder", "safety", "tastes", "imagined", "reference", "candidates", "most_alike", "pleasant", "calibrate_shown",
    "calibrate_people", "axes", "prompts", "seed",
)  # fmt: skip


def find_runs(cfg: DictConfig) -> list[dict[str, Any]]:
    """Finds the checkpoint, or those of a study, whose arms are returned."""
    if cfg.study is None:
        if any((cfg.second or {}).values()):
            raise ValueError("second has policies of a study's second run: add 'study=[RUN,RUN]', or leave it out")
        cfg.checkpoint = str(find_checkpoint(cfg.checkpoint))
        return []
    if cfg.checkpoint is not None:
        raise ValueError("a study has its checkpoints in 'study=[RUN,RUN]': leave checkpoint=... out")
    if len(cfg.study) != ARMS:
        raise ValueError(f"a study compares two runs, got {len(cfg.study)}: give 'study=[RUN,RUN]'")
    cfg.study = [str(find_checkpoint(each)) for each in cfg.study]
    cfg.checkpoint = cfg.study[0]
    arms = arms_of(cfg)
    require_two(arms)
    return arms


def of_second(cfg: DictConfig) -> DictConfig:
    """The configuration of a study's second run."""
    other = cfg.copy()
    for page, node in (cfg.second or {}).items():
        require_choice("a page of second", page, PAGES)
        if node is not None:
            other[page] = node
    return other


def arms_of(cfg: DictConfig) -> list[dict[str, Any]]:
    """The two arms of a study: which runs, and how they ask."""
    return [
        {
            "run": path, "model": file_hash(Path(path)),
            "policies": {page: _whole(each[page]) for page in PAGES if each[page] is not None},
            "settings": _settings(each, Path(path)),
        }
        for path, each in zip(cfg.study, (cfg, of_second(cfg)), strict=True)
    ]  # fmt: skip


def _settings(cfg: DictConfig, path: Path) -> dict[str, Any]:
    """What else changes what people are asked and what is made for them: a study keeps it. Wherever the data lie."""
    exploration, making, moves = build(cfg.exploration, Exploration), build(cfg.making, Making), build(cfg.moves, Moves)
    data = data_without_paths(
        path, describe(path)["facts"], source=cfg.source, embeddings=cfg.embeddings, data=cfg.data, trust=cfg.trust
    )
    asked = {"exploration": asdict(exploration), "making": asdict(making), "moves": asdict(moves)}
    return data | asked | {name: _whole(cfg[name]) for name in SETTINGS}


def _whole(value: Any) -> Any:
    """A value; of a node, with the defaults that it leaves out."""
    return with_defaults(plain_node(value))
