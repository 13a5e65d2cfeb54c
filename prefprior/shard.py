"""`python shard.py`: ratings and embeddings of a source into webdataset tars, for training with data=shards."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import MISSING, DictConfig

from prefprior.config import build, plain, run_command, run_folder
from prefprior.data.datamodule import PreferenceDataModule
from prefprior.data.embedding_lookup import embedding_folder
from prefprior.data.histories.sequences import Sequences
from prefprior.data.shards.manifest import ShardSet, training_digest
from prefprior.data.shards.tars import write_part
from prefprior.files import make_folder, remove_leftovers
from prefprior.runs import save_config, write_metrics


@dataclass
class ShardConfig:
    """The top-level keys of conf/shard.yaml."""

    source: Any = MISSING
    encoder: Any = None
    embeddings: Any = MISSING
    data: Any = MISSING
    run_dir: str = "runs/shard/${now:%Y-%m-%d_%H-%M-%S}"
    root: str = "shards"  # the shards are in <root>/<source>/<space>
    shard_megabytes: float = 256.0  # a worker holds a few of them in memory
    least: int = 16  # shards of the training part: every worker of every process needs one


def run(cfg: DictConfig) -> Path:
    """Writes all parts; returns the run's folder."""
    if cfg.shard_megabytes <= 0 or cfg.least < 1:
        raise ValueError("shard_megabytes must be above 0 and least at least 1")
    data = build(cfg.data, source=build(cfg.source), embeddings=build(cfg.embeddings))
    if not isinstance(data, PreferenceDataModule):
        raise ValueError("shards are made from data=memory")
    data.setup()
    folder = make_folder(embedding_folder(cfg.root, data.source.name, data.space.name))
    remove_leftovers(folder)
    vectors = data.catalogue.embeddings_ND.numpy()
    size = int(cfg.shard_megabytes * 2**20)
    parts = {}
    for name in data.part_names:
        sequences = Sequences.of(data.part(name), None if name == "train" else data.part("train"))
        least = cfg.least if name == "train" else 1
        parts[name] = write_part(folder, name, sequences, vectors, shard_bytes=size, least=least)
        print(f"{name}: {len(sequences):,} people in {len(parts[name])} shards", flush=True)
    shards = ShardSet(
        folder, data.source.name, data.space, data.scale, parts, data.settled(), training_digest(data.part("train"))
    )
    shards.write(data.item_counts())
    figures = {
        f"{data.source.name}/{name}/shards/{key}": float(sum(getattr(shard, key) for shard in part))
        for name, part in parts.items()
        for key in ("users", "ratings", "bytes")
    }
    made = run_folder()
    save_config(made, plain(cfg))
    write_metrics(made, figures)
    print(f"the shards are in {folder}; train on them with data=shards and the same source")
    return made


def main() -> None:
    """The command."""
    run_command("shard", ShardConfig, run)


if __name__ == "__main__":
    main()
