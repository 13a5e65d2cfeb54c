"""A TensorBoard logger in the run's folder."""

from pathlib import Path

from lightning.pytorch.loggers import TensorBoardLogger


def tensorboard_logger(*, folder: Path) -> TensorBoardLogger:
    """Makes the logger; `tensorboard --logdir runs/train` then shows all runs."""
    try:
        import tensorboard  # noqa: F401 (Lightning writes logs without it, but they could not be viewed)
    except ImportError as error:
        raise ValueError("logger=tensorboard needs tensorboard: pip install 'prefprior[tensorboard]'") from error
    return TensorBoardLogger(folder, name="tensorboard", version="", default_hp_metric=False)
