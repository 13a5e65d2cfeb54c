"""The commands, as a clone's `train.py` and an installed `prefprior-train` call them.

What a command works with is imported once it is known that it will run: `--help` and a mistyped word need no torch.
"""

import sys
from importlib import import_module

from prefprior.command_line import run_command
from prefprior.schemas import (
    ElicitConfig,
    EmbedConfig,
    EvaluateConfig,
    SampleConfig,
    ServeConfig,
    ShardConfig,
    TrainConfig,
    with_default_experiment,
)


def train() -> None:
    """`python train.py`."""
    sys.argv[1:] = with_default_experiment(sys.argv[1:])
    _run("train", TrainConfig)


def sample() -> None:
    """`python sample.py`."""
    _run("sample", SampleConfig)


def evaluate() -> None:
    """`python evaluate.py`."""
    _run("evaluate", EvaluateConfig)


def elicit() -> None:
    """`python elicit.py`."""
    _run("elicit", ElicitConfig)


def serve() -> None:
    """`python serve.py`."""
    _run("serve", ServeConfig)


def embed() -> None:
    """`python embed.py`."""
    _run("embed", EmbedConfig)


def shard() -> None:
    """`python shard.py`."""
    _run("shard", ShardConfig)


def _run(name: str, schema: type) -> None:
    run_command(name, schema, lambda cfg: import_module(f"prefprior.{name}").run(cfg))
