"""`python shard.py`: ratings and embeddings of a source into webdataset tars, for training with data=shards."""

from pathlib import Path

from omegaconf import DictConfig

from prefprior.command_line import call
from prefprior.config import build, plain, run_folder
from prefprior.data.datamodule import PreferenceDataModule
from prefprior.data.embedding_lookup import Embeddings, embedding_folder
from prefprior.data.shards.write import write_shards
from prefprior.data.sources.source import Source
from prefprior.locks import only_writer
from prefprior.runs import Run, save_config, write_metrics
from prefprior.schemas import ShardConfig


def run(cfg: DictConfig) -> Path:
    """Writes all parts; returns the run's folder."""
    if cfg.shard_megabytes <= 0 or cfg.least < 1:
        raise ValueError("shard_megabytes must be above 0 and least at least 1")
    source, embeddings = build(cfg.source, Source), build(cfg.embeddings, Embeddings)
    data = build(cfg.data, PreferenceDataModule, source=source, embeddings=embeddings)
    if data.shards is not None:
        raise ValueError("shards are made from data=memory")
    data.setup()
    folder = embedding_folder(cfg.root, data.source.name, data.space.name)
    with only_writer(folder, "Wait until it has finished, or write to another folder with root=..."):
        shards = write_shards(data.tables, folder, shard_bytes=int(cfg.shard_megabytes * 2**20), least=cfg.least)
    figures = {
        f"{data.source.name}/{name}/shards/{key}": float(sum(getattr(shard, key) for shard in part))
        for name, part in shards.parts.items()
        for key in ("users", "ratings", "bytes")
    }
    made = run_folder()
    save_config(made, plain(cfg))
    write_metrics(made, figures)
    print(f"wrote the shards to {folder}; train on them with data=shards and the same source")
    return made


def shard(*overrides: str) -> Run:
    """Writes a source as shards; words as for `python shard.py`."""
    return call("shard", ShardConfig, run, overrides)
