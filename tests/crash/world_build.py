"""`scripts/build_world.py` on few pictures and with two steps of each training, into the current folder."""

import sys
from functools import partial, partialmethod
from pathlib import Path
from typing import Any

from diffusers import VQModel

from prefprior.world import clip
from prefprior.world.build import command
from prefprior.world.build import decoder as decoders
from prefprior.world.build.progress import Progress

STAGES = ("clip", "movq", "decoder")


def main() -> None:
    """Runs the stages whose results are not there."""
    weights = Path.cwd() / "weights"
    clip.WEIGHTS = weights / "clip.safetensors"
    decoders.DECODER = weights / "decoder"
    small: dict[str, Any] = {
        "DECODER": weights / "decoder",
        "PICTURES": 32,
        "DECODER_PICTURES": 16,
        "LATENTS": "latents-16.safetensors",
        "train_clip": partial(command.train_clip, steps=2, batch=8, pairs=4, wordless_steps=1),
        "train_movq": partial(command.train_movq, steps=2, batch=2),
        "sharpen_movq": _as_it_is,
        "train_reader": partial(command.train_reader, steps=2, batch=4),
        "train_unet": partial(command.train_unet, steps=2, batch=2),
    }
    for name, value in small.items():
        setattr(command, name, value)
    Progress.__init__ = partialmethod(Progress.__init__, seconds=0.0)  # type: ignore[method-assign,assignment]
    sys.argv += [*STAGES, "--cache", "cache", "--threads", "1"]
    command.main()


def _as_it_is(movq: VQModel, pictures_NYXC: object) -> VQModel:
    return movq
