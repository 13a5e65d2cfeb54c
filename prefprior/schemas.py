"""The top-level keys of the commands, their types and defaults; what is below them is a constructor's business."""

from dataclasses import dataclass, field
from typing import Any

from prefprior.nodes import MISSING

# Metadata of a key that holds a node: the command gives the arguments "given" to its constructor itself, and the
# arguments "shared" to every constructor in it. Nobody else may set them.


@dataclass
class TrainConfig:
    """The top-level keys of conf/train.yaml."""

    source: Any = MISSING
    embeddings: Any = MISSING
    data: Any = field(default=MISSING, metadata={"given": ("source", "embeddings", "seed")})
    scale: Any = field(default=MISSING, metadata={"given": ("space",)})
    prior: Any = field(default=MISSING, metadata={"given": ("space", "scale")})
    retriever: Any = field(default=None, metadata={"shared": ("space", "scale", "token_width")})
    objective: Any = MISSING
    distillation: Any = None
    sampler: Any = MISSING
    optimizer: Any = MISSING
    scheduler: Any = MISSING
    trainer: Any = field(default=MISSING, metadata={"given": ("default_root_dir", "logger", "callbacks", "plugins")})
    logger: Any = field(default=None, metadata={"given": ("folder",)})
    callbacks: Any = field(default=None, metadata={"shared": ("save",)})
    experiment: Any = None
    debug: Any = None
    seed: int = 0
    run_dir: str = "runs/train/${now:%Y-%m-%d_%H-%M-%S_%f}"  # to the microsecond: two runs may begin in one second
    init_from: str | None = None  # a run's folder or a checkpoint, whose weights training starts from
    monitor: str = "val/loss"  # what says which epoch is best: for best.safetensors, early stopping and sweeps
    monitor_mode: str = "min"  # or max
    compile: bool = False  # torch.compile both networks; pays off on a GPU
