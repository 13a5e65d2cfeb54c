"""A Weights & Biases logger that needs no key: without one the run is kept offline."""

import os
from pathlib import Path

from lightning.pytorch.loggers import WandbLogger


def wandb_logger(*, project: str, folder: Path, name: str | None = None, tags: list[str] | None = None) -> WandbLogger:
    """Makes the logger in the run's folder; offline when neither WANDB_API_KEY nor a netrc entry is there."""
    try:
        import wandb
    except ImportError as error:
        raise ValueError("logger=wandb needs the package wandb: pip install 'prefprior[wandb]'") from error
    mode = os.environ.get("WANDB_MODE")
    offline = mode == "offline" or (mode is None and wandb.api.api_key is None)
    return WandbLogger(project=project, save_dir=str(folder), name=name or folder.name, offline=offline, tags=tags)
