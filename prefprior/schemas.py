"""The top-level keys of the commands, their types and defaults; what is below them is a constructor's business."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from prefprior.nodes import MISSING


def node(default: Any = MISSING, *, given: Sequence[str] = (), shared: Sequence[str] = ()) -> Any:
    """A key that holds a node; without a default, one has to be chosen.

    The command gives the arguments `given` to its constructor itself, and the arguments `shared` to every constructor
    in it. Nobody else may set them.
    """
    return field(default=default, metadata={"node": "one", "given": tuple(given), "shared": tuple(shared)})


def nodes(*, given: Sequence[str] = (), shared: Sequence[str] = ()) -> Any:
    """A key that holds nodes by name; what is null is left out."""
    return field(default=None, metadata={"node": "each", "given": tuple(given), "shared": tuple(shared)})


@dataclass
class TrainConfig:
    """The top-level keys of conf/train.yaml."""

    source: Any = node()
    embeddings: Any = node()
    data: Any = node(given=("source", "embeddings", "seed"))
    scale: Any = node(given=("space",))
    prior: Any = node(given=("space", "scale"))
    retriever: Any = node(None, shared=("space", "scale", "token_width"))
    rating: Any = node(None, given=("space", "scale"))
    objective: Any = node()
    distillation: Any = node(None)
    sampler: Any = node()
    optimizer: Any = node()
    scheduler: Any = node()
    trainer: Any = node(given=("default_root_dir", "logger", "callbacks", "plugins"))
    logger: Any = nodes(given=("folder",))
    callbacks: Any = nodes(shared=("save",))
    experiment: Any = None
    debug: Any = None
    seed: int = 0
    run_dir: str = "runs/train/${now:%Y-%m-%d_%H-%M-%S_%f}"  # to the microsecond: two runs may begin in one second
    init_from: str | None = None  # a run's folder or a checkpoint, whose weights training starts from
    monitor: str = "val/loss"  # what says which epoch is best: for best.safetensors, early stopping and sweeps
    monitor_mode: str = "min"  # or max
    compile: bool = False  # torch.compile both networks; pays off on a GPU


def with_default_experiment(words: Sequence[str]) -> list[str]:
    """A command line's words, with `experiment=world` if they name neither an experiment nor another source.

    What suits the built-in world, its learning rate above all, is no default for other data. An option in Hydra's
    defaults list cannot say so: it would hold for any source.
    """
    place = next((i for i, word in enumerate(words) if "=" in word and not word.startswith("-")), len(words))
    named = dict(word.lstrip("+").split("=", 1) for word in words[place:] if "=" in word)
    if "experiment" in named or named.get("source", "world") != "world":
        return list(words)
    return [*words[:place], "experiment=world", *words[place:]]  # Hydra wants such words together


@dataclass
class SampleConfig:
    """The top-level keys of conf/sample.yaml."""

    checkpoint: str | None = None  # a file or a run's folder; by default the last run's
    trust: list[str] = field(default_factory=list)  # packages beside prefprior whose classes a file may name
    manifest: str | None = None  # makes the pictures of a gallery's manifest again; other words change them
    users: Any = "unseen"  # ids, unseen or all
    people: int | None = 8  # of unseen or all, at most so many; null for everyone
    likes: str | None = None  # folders of pictures of someone in no data set
    dislikes: str | None = None
    ratings: str | None = None  # or a CSV: picture, rating
    interpolate: Any = None  # [a, b]: a walk from one person to another
    history: int = 16  # how many ratings the prior sees of a person
    n: int = 8
    steps: int | None = None  # of the solver; these six by default as the checkpoint says
    guidance_history: float | None = None
    guidance_rating: float | None = None
    guidance_text: float | None = None  # of a prompt, where the prior was trained with texts
    candidates: int | None = None  # per picture
    diversity: float | None = None  # weight of a difference beside the score, in the choice among candidates
    copy_threshold: float = 0.95  # likeness to a rated picture from which on a candidate is a near-copy
    negative: bool = False  # also sample what the person would hate, for the decoder to move away from
    prompt: str | None = None
    prompt_weight: float | None = None  # in the choice among candidates, where the prior knows no texts; 0.5
    seed: int = 0
    nearest: int = 3  # real pictures shown beside each made one
    measure_decoded: bool = True  # embed decoded pictures again, where the truth is known (the world)
    people_at_once: int = 2  # decoded as one, and made again as one where a run was interrupted
    source: Any = node(None)
    embeddings: Any = node(None)
    decoder: Any = node(None)
    safety: Any = node(None)
    trainer: Any = node(given=("default_root_dir", "logger", "callbacks", "enable_checkpointing"))
    run_dir: str = "runs/sample/${now:%Y-%m-%d_%H-%M-%S_%f}"


@dataclass
class EvaluateConfig:
    """The top-level keys of conf/evaluate.yaml."""

    checkpoint: str | None = None  # a run folder or prior.safetensors; the last training run if left out
    compare: str | None = None  # a second checkpoint
    trust: list[str] = field(default_factory=list)  # packages beside prefprior whose classes a checkpoint may name
    source: Any = node(None)  # these three are the checkpoint's own unless given
    embeddings: Any = node(None)
    data: Any = node(None)
    part: str | None = None  # unseen, seen, unseen_items, train, or a part's name; chosen by the data if left out
    predictors: list[str] = field(default_factory=list)
    baselines: Any = nodes()
    scoreboard: Any = node()
    decoder: Any = node(None)  # samples are decoded, embedded again and measured; on the world, by its own if left out
    encoder: Any = node(None)  # the one of the decoder's space if left out
    decoding: Any = node(None)  # what is decoded of it; nothing if null
    people: int | None = 200  # at most so many; all if null
    history_share: float = 0.5  # of an unseen person's ratings; the rest is held out
    history_first: int | None = None  # or so many of them, as in the protocols of 10 and 100 shots
    history_cap: int = 512
    rank_by: str | None = None  # retriever or samples; by default the retriever, where there is one
    cold_start_share: float | None = None  # another share of items nobody rated in training; by default as trained
    device: str = "cpu"
    seed: int = 0
    run_dir: str = "runs/evaluate/${now:%Y-%m-%d_%H-%M-%S_%f}"


@dataclass
class EmbedConfig:
    """The top-level keys of conf/embed.yaml."""

    source: Any = node()
    encoder: Any = node()
    embeddings: Any = node()
    trainer: Any = node(given=("logger", "enable_checkpointing"))
    run_dir: str = "runs/embed/${now:%Y-%m-%d_%H-%M-%S_%f}"
    batch_size: int = 64  # pictures that are embedded together
    part_size: int = 1024  # pictures that are stored together: what a kill may cost
    dtype: str = "float16"  # float16 or float32, of what is stored
    workers: int = 0  # processes that decode pictures
    max_bad: float = 0.05  # the share of unreadable pictures above which something else must be wrong
    changed: str = "refuse"  # or embed: what becomes of a picture that is another than was embedded under its id


@dataclass
class ShardConfig:
    """The top-level keys of conf/shard.yaml."""

    source: Any = node()
    encoder: Any = node(None)
    embeddings: Any = node()
    data: Any = node()
    run_dir: str = "runs/shard/${now:%Y-%m-%d_%H-%M-%S_%f}"
    root: str = "shards"  # the shards are in <root>/<source>/<space>
    shard_megabytes: float = 256.0  # a worker holds a few of them in memory
    least: int = 16  # shards of the training part: every worker of every process needs one
