"""`python embed.py`: a source's pictures into a CLIP space."""

import time
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig

import prefprior.world  # noqa: F401 (registers the encoder of encoder=world)
from prefprior.command_line import call
from prefprior.config import build, command_again, plain, run_folder
from prefprior.data.embedding.encode import SET_ASIDE, encode
from prefprior.data.embedding.encoders import OpenClipEncoder
from prefprior.data.embedding.plan import EncodeRule
from prefprior.data.embedding_lookup import StoredEmbeddings, embedding_folder
from prefprior.data.sources.source import Source
from prefprior.locks import only_writer
from prefprior.runs import Run, save_config, write_metrics
from prefprior.schemas import EmbedConfig
from prefprior.trainer import build_trainer, stopped_by_hand


def run(cfg: DictConfig) -> Path:
    """Embeds what is not embedded yet; returns the run's folder."""
    rule = EncodeRule(cfg.batch_size, cfg.part_size, cfg.dtype, cfg.workers, cfg.max_bad, cfg.changed)
    source, encoder = build(cfg.source, Source), build(cfg.encoder, OpenClipEncoder)
    stored = build(cfg.embeddings, StoredEmbeddings)
    pictures = source.pictures()
    if pictures is None:
        raise ValueError(
            f"{source.name} has no pictures to embed: it already has embeddings, or needs source.pictures=..."
        )
    trainer = build_trainer(cfg.trainer, logger=False, enable_checkpointing=False, enable_progress_bar=False)
    target = embedding_folder(stored.root, source.name, encoder.space_name)
    started = time.monotonic()
    with (
        only_writer(target, "Wait until it has finished: its embeddings will be reused."),
        stopped_by_hand(
            trainer, lambda: f"interrupted: finished parts are kept. To resume:\n  {command_again('embed')}"
        ),
    ):
        table, bad = encode(pictures, encoder, target, rule, trainer)
    folder = run_folder()
    if trainer.is_global_zero:
        save_config(folder, plain(cfg))
        seconds = time.monotonic() - started
        encoded = f"{source.name}/all/{encoder.space_name.replace('/', '__')}"
        write_metrics(
            folder,
            {
                f"{encoded}/pictures": len(table),
                f"{encoded}/set_aside": len(bad),
                f"{encoded}/seconds": seconds,
            },
        )
    say = rank_zero_only(print)
    say(f"{len(table):,} pictures of {source.name} are embedded in {table.space.name}: {target}")
    if bad:
        say(f"{len(bad):,} pictures could not be embedded; {target / SET_ASIDE} lists each with the reason")
    return folder


def embed(*overrides: str) -> Run:
    """Embeds the pictures of a source; words as for `python embed.py`."""
    return call("embed", EmbedConfig, run, overrides)
