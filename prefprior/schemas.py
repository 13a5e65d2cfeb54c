"""The top-level keys of the commands, their types and defaults. Constructors define the keys below them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from prefprior.nodes import MISSING


def node(default: Any = MISSING, *, given: Sequence[str] = (), shared: Sequence[str] = ()) -> Any:
    """A key that holds a node (a class with its arguments); without a default, one must be chosen.

    The command sets the arguments `given` of its constructor, and the arguments `shared` of every constructor in it.
        The configuration must not set them.
    """
    return field(default=default, metadata={"node": "one", "given": tuple(given), "shared": tuple(shared)})


def nodes(*, given: Sequence[str] = (), shared: Sequence[str] = ()) -> Any:
    """A key that maps names to nodes; a null node is left out."""
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
    collaborative: Any = node(None, given=("space", "scale"))
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
    run_dir: str = "runs/train/${now:%Y-%m-%d_%H-%M-%S_%f}"  # to the microsecond: two runs may start within a second
    init_from: str | None = None  # a run folder or a checkpoint: training starts from its weights
    monitor: str = "val/loss"  # the metric for best.safetensors, early stopping and sweeps
    monitor_mode: str = "min"  # or max
    compile: bool = False  # torch.compile both networks; useful on a GPU


def with_default_experiment(words: Sequence[str]) -> list[str]:
    """The arguments of a command line, with `experiment=world` if they name neither an experiment nor another source.

    Settings for the built-in world, above all its learning rate, are no defaults for other data. Hydra's defaults list
        cannot express that: an option there applies to every source.
    """
    place = next((i for i, word in enumerate(words) if "=" in word and not word.startswith("-")), len(words))
    named = dict(word.lstrip("+").split("=", 1) for word in words[place:] if "=" in word)
    if "experiment" in named or named.get("source", "world") != "world":
        return list(words)
    return [*words[:place], "experiment=world", *words[place:]]  # Hydra expects overrides side by side


@dataclass
class SampleConfig:
    """The top-level keys of conf/sample.yaml."""

    checkpoint: str | None = None  # a file or a run folder; default: the last training run
    trust: list[str] = field(default_factory=list)  # packages besides prefprior whose classes a file may name
    manifest: str | None = None  # reproduces the pictures of a manifest; other arguments change them
    users: Any = "unseen"  # ids, unseen or all
    people: int | None = 8  # at most this many of `unseen` or `all`; null: all of them
    likes: str | None = None  # folders of pictures, for a new user
    dislikes: str | None = None
    ratings: str | None = None  # or a CSV with the columns picture, rating
    interpolate: Any = None  # [a, b]: interpolation from one user to another
    edit: str | None = None  # a picture file, to be moved towards the taste of each user
    edit_strength: float | None = None  # 0 (the picture) to 1 (a sample for the user); default 0.75, with axes 0
    repaint: float | None = None  # noise of img2img in an edit: above 0 (keeps the picture) to 1; default 0.85
    axes: Any = None  # {darker: 0.5}: moves pictures along axes that words name, by standard deviations
    history: int = 16  # at most this many ratings per user
    n: int = 8
    steps: int | None = None  # of the solver; default of these six: as in the checkpoint
    guidance_history: float | None = None
    guidance_rating: float | None = None
    guidance_text: float | None = None  # of a prompt, for priors that were trained with texts
    candidates: int | None = None  # per picture
    diversity: float | None = None  # weight of diversity against the score in the selection of candidates
    copy_threshold: float = 0.95  # a candidate with this cosine similarity to a rated picture is a near-copy
    negative: bool = False  # also sample negative embeddings, which the decoder moves away from
    prompt: str | None = None
    prompt_weight: float | None = None  # in the selection of candidates, for priors trained without texts; default 0.5
    seed: int = 0
    nearest: int = 3  # real pictures shown beside each generated one
    measure_decoded: bool = True  # embed decoded pictures again and compute their true utility (world only)
    people_at_once: int = 2  # users per decoder batch, and per unit of resuming
    source: Any = node(None)
    embeddings: Any = node(None)
    decoder: Any = node(None)
    safety: Any = node(None)
    trainer: Any = node(given=("default_root_dir", "logger", "callbacks", "enable_checkpointing"))
    run_dir: str = "runs/sample/${now:%Y-%m-%d_%H-%M-%S_%f}"


@dataclass
class EvaluateConfig:
    """The top-level keys of conf/evaluate.yaml."""

    checkpoint: str | None = None  # a run folder or prior.safetensors; default: the last training run
    compare: str | None = None  # a second checkpoint
    trust: list[str] = field(default_factory=list)  # packages besides prefprior whose classes a checkpoint may name
    source: Any = node(None)  # default of these three: as in the checkpoint
    embeddings: Any = node(None)
    data: Any = node(None)
    part: str | None = None  # unseen, seen, unseen_items, train, or the name of a part; the default depends on the data
    predictors: list[str] = field(default_factory=list)
    baselines: Any = nodes()
    scoreboard: Any = node()
    protocol: Any = node(None)  # of a publication, which then replaces the scoreboard
    decoder: Any = node(None)  # decodes samples, to embed and measure them again; default on the world: its own decoder
    encoder: Any = node(None)  # default: the encoder of the decoder's space
    decoding: Any = node(None)  # which samples are decoded; null: none
    people: int | None = 200  # at most this many users; null: all
    tune: int | None = None  # settings of each baseline to compare on validation users; null: no tuning
    tune_for: list[str] | None = None  # compare by the mean of these metrics; default: NDCG, and AUC for graded ratings
    history_share: float = 0.5  # of an unseen user's ratings; the rest is held out
    history_first: int | None = None  # or this number of ratings, as in 10-shot and 100-shot protocols
    history_cap: int = 512
    rank_by: str | None = None  # retriever or samples; default: the retriever, if the prior has one
    cold_start_share: float | None = None  # probability of items without training ratings; default: as trained
    device: str = "cpu"
    seed: int = 0
    run_dir: str = "runs/evaluate/${now:%Y-%m-%d_%H-%M-%S_%f}"


@dataclass
class ElicitConfig:
    """The top-level keys of conf/elicit.yaml."""

    checkpoint: str | None = None  # a run folder or prior.safetensors; default: the last training run
    trust: list[str] = field(default_factory=list)  # packages besides prefprior whose classes a checkpoint may name
    source: Any = node(None)  # default of these three: as in the checkpoint
    embeddings: Any = node(None)
    data: Any = node(None)
    part: str | None = None  # default: test, else val. Users who were trained on are asked with part=train only
    policies: Any = nodes()
    use: list[str] = field(default_factory=list)  # which of the policies ask
    questions: list[Any] = field(
        default_factory=list
    )  # pictures shown at once: 1 is a rating; 9+none allows "none of these"
    after: list[int] = field(default_factory=list)  # numbers of answers after which users are judged
    people: int = 60
    seeds: int = 1  # how often everybody is asked, with other draws
    n: int = 16  # embeddings made for each user (world only)
    diversity: float = 4.0  # weight of diversity against expected utility in what is made
    tastes: int = 2000  # imagined users, who stand for a stranger
    imagined: int = 16  # items each of them likes
    reference: int = 512  # random items, over which a taste's utilities have mean 0 and deviation 1
    candidates: int = 1500  # items that can be shown, drawn at random; elsewhere than on a world, of each user's own
    fewest: int = 20  # ratings of a user who is replayed
    most_alike: float = 0.95  # no two pictures of a question have this cosine or more
    pleasant: float = 0.0  # share of the slots of a grid for the pictures expected to please most
    manner: Any = node()  # how people answer apart from their taste
    moves: Any = node()  # when and how the network looks again
    temperature: float | None = None  # of choices; default: calibrated on validation users
    calibrate_shown: int = 5
    calibrate_people: int = 200
    decoder: Any = node(None)
    encoder: Any = node(None)
    decoding: Any = node(None)  # world only: what is made is decoded after these numbers of answers; null: not
    trainer: Any = node(given=("default_root_dir", "logger", "callbacks", "enable_checkpointing"))
    seed: int = 0
    run_dir: str = "runs/elicit/${now:%Y-%m-%d_%H-%M-%S_%f}"


@dataclass
class ServeConfig:
    """The top-level keys of conf/serve.yaml."""

    checkpoint: str | None = None  # a run folder or prior.safetensors; default: the last training run
    trust: list[str] = field(default_factory=list)  # packages besides prefprior whose classes a checkpoint may name
    source: Any = node(None)  # default of these three: as in the checkpoint
    embeddings: Any = node(None)
    data: Any = node(None)
    decoder: Any = node(None)
    safety: Any = node(None)
    nine: Any = node(None)  # the policy of each page; null: the page is left out
    pair: Any = node(None)
    rate: Any = node(None)
    roam: Any = node(None)
    exploration: Any = node()  # the share of what is shown that is drawn at random
    moves: Any = node()  # when and how the network looks again
    making: Any = node()  # how many pictures are made after an answer, and for a gallery
    axes: list[str] = field(default_factory=list)  # of words, a slider for each: darker, or "from this|to that"
    prompts: bool = False  # whether galleries take a prompt
    rates: Any = node()  # how many requests a minute are answered
    database: str | None = None  # sqlite:///FILE or postgresql+psycopg://...; default: studio.sqlite in run_dir
    pictures: str | None = None  # made ones: a folder or fsspec's URL; default: beside SQLite's file, or in run_dir
    host: str = "127.0.0.1"
    port: int = 8017
    proxies: list[str] = field(default_factory=list)  # addresses of proxies whose X-Forwarded-For is believed
    secure_cookies: bool = False  # cookies over HTTPS only
    invite_only: bool = False  # new visitors need the code of an invitation, from the page /admin
    tastes: int = 1000  # imagined users, who stand for a stranger
    imagined: int = 16  # items each of them likes
    reference: int = 512  # random items, over which a taste's utilities have mean 0 and deviation 1
    candidates: int = 1500  # items that can be shown, drawn at random
    most_alike: float = 0.95  # no two pictures of a question have this cosine or more, unless by chance
    pleasant: float = 0.0  # share of the slots of a grid for the pictures expected to please most
    calibrate_shown: int = 5
    calibrate_people: int = 200
    study: list[str] | None = None  # two runs between which people are dealt; nobody sees which
    second: Any = nodes()  # by page, policies of the second run where it asks otherwise than the first
    renew: bool = True  # serves the checkpoint anew once its file changes, and a finished run that went on from it
    beliefs: int = 256  # profiles whose belief is kept in memory
    waiting: int = 256  # jobs that wait for the model, and for the decoder; more are refused
    device: str = "cpu"
    seed: int = 0
    run_dir: str = "runs/serve/studio"


@dataclass
class EmbedConfig:
    """The top-level keys of conf/embed.yaml."""

    source: Any = node()
    encoder: Any = node()
    embeddings: Any = node()
    trainer: Any = node(given=("logger", "enable_checkpointing"))
    run_dir: str = "runs/embed/${now:%Y-%m-%d_%H-%M-%S_%f}"
    batch_size: int = 64  # pictures per batch of the encoder
    part_size: int = 1024  # pictures per stored part: at most this many are lost on an interruption
    dtype: str = "float16"  # of the stored embeddings: float16 or float32
    workers: int = 0  # processes that decode pictures
    max_bad: float = 0.05  # maximum share of unreadable pictures
    changed: str = "refuse"  # or embed: what to do if another picture was embedded under the same id


@dataclass
class ShardConfig:
    """The top-level keys of conf/shard.yaml."""

    source: Any = node()
    encoder: Any = node(None)
    embeddings: Any = node()
    data: Any = node()
    run_dir: str = "runs/shard/${now:%Y-%m-%d_%H-%M-%S_%f}"
    root: str = "shards"  # the shards are in <root>/<source>/<space>
    shard_megabytes: float = 256.0  # a worker keeps a few shards in memory
    least: int = 16  # minimum number of training shards: every worker of every process needs one
