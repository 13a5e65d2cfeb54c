"""What all decoders that are diffusers pipelines share: loading, precision, memory, batches, identity.

Shapes: B pictures, D dimension.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from diffusers.utils import logging
from PIL.Image import Image
from torch import Tensor

import prefprior
from prefprior.decoders.decoder import check_request
from prefprior.errors import require_choice
from prefprior.hub import hub_or_cache
from prefprior.nodes import Loadable

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
# Where weights that ship with prefprior lie, whatever machine a manifest is read on.
PACKAGED = "package:"
# What diffusers raises on files that are not those of a pipeline.
UNREADABLE = (OSError, ValueError, RuntimeError, TypeError, KeyError, AttributeError)


@dataclass(frozen=True, kw_only=True)
class Runtime(Loadable):
    """How a pipeline runs, as opposed to what it makes."""

    dtype: str = "float32"
    batch_size: int = 8
    offload: str = "none"  # model: one network at a time on the device; sequential: one layer at a time
    attention: str = "default"  # sliced: less memory, slower; xformers: where it is installed
    vae_slicing: bool = False  # decode latents one by one
    progress: bool = False  # a bar for every batch, beside the command's own

    def __post_init__(self) -> None:
        require_choice("dtype", self.dtype, DTYPES)
        require_choice("offload", self.offload, ("none", "model", "sequential"))
        require_choice("attention", self.attention, ("default", "sliced", "xformers"))
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")


class PipelineDecoder(Loadable, ABC):
    """A decoder made of one diffusers pipeline."""

    takes_negative = True
    takes_prompt = False

    def __init__(self, pipeline: Any, *, space_name: str, identity: str, runtime: Runtime) -> None:
        self.pipeline, self.space_name, self.identity, self.runtime = pipeline, space_name, identity, runtime
        pipeline.set_progress_bar_config(disable=not runtime.progress, leave=False)
        if runtime.attention == "sliced":
            pipeline.enable_attention_slicing()
        elif runtime.attention == "xformers":
            pipeline.enable_xformers_memory_efficient_attention()
        if runtime.vae_slicing:
            first_stage = getattr(pipeline, "vae", None) or getattr(pipeline, "movq", None)
            if first_stage is None or not hasattr(first_stage, "enable_slicing"):
                raise ValueError(
                    f"{identity} does not support sliced decoding of latents. Set runtime.vae_slicing=false."
                )
            first_stage.enable_slicing()

    def to(self, device: torch.device | str) -> None:
        """Moves the weights to a device, or hooks them up so that they visit it when needed."""
        device = torch.device(device)
        if self.runtime.offload == "none" or device.type == "cpu":  # there is nowhere to offload to from a CPU
            self.pipeline.to(device)
        elif self.runtime.offload == "model":
            self.pipeline.enable_model_cpu_offload(device=device)
        else:
            self.pipeline.enable_sequential_cpu_offload(device=device)

    def decode(
        self,
        embeddings_BD: Tensor,
        *,
        negative_BD: Tensor | None,
        prompt: str | None,
        generators: list[torch.Generator],
    ) -> list[Image]:
        """One picture for each raw embedding; picture i depends on embedding i and generator i alone."""
        return self._in_batches(partial(self._run, prompt=prompt or ""), embeddings_BD, negative_BD, prompt, generators)

    def _in_batches(
        self,
        run: Callable[..., list[Image]],
        embeddings_BD: Tensor,
        negative_BD: Tensor | None,
        prompt: str | None,
        generators: list[torch.Generator],
    ) -> list[Image]:
        """What `run` makes of embeddings, negatives and generators, a batch at a time."""
        check_request(self, embeddings_BD, negative_BD, prompt, generators)
        if embeddings_BD.shape[1] != self.dim:
            raise ValueError(
                f"the decoder {self.identity} takes embeddings of {self.dim} dimensions, got {embeddings_BD.shape[1]}"
            )
        place = {"dtype": DTYPES[self.runtime.dtype], "device": self.pipeline._execution_device}
        pictures: list[Image] = []
        for start in range(0, len(generators), self.runtime.batch_size):
            rows = slice(start, start + self.runtime.batch_size)
            negative = None if negative_BD is None else negative_BD[rows].to(**place)
            with torch.inference_mode():
                pictures += run(embeddings_BD[rows].to(**place), negative, generators=generators[rows])
        return pictures

    @staticmethod
    def reader(pipeline_class: Any, variant: str | None, runtime: Runtime, **parts: Any) -> Callable[[Path], Any]:
        """Reads a folder as one pipeline class; `parts` are components given instead of read."""
        return lambda folder: pipeline_class.from_pretrained(
            folder, variant=variant, dtype=DTYPES[runtime.dtype], **parts
        )

    @property
    @abstractmethod
    def dim(self) -> int:
        """Dimension of the embeddings that the weights were made for."""

    @abstractmethod
    def _run(
        self, embeddings_BD: Tensor, negative_BD: Tensor | None, prompt: str, generators: list[torch.Generator]
    ) -> list[Image]:
        """One batch, already on the device and in the dtype of the weights."""


def load(
    read: Callable[[Path], Any], model: str, *, revision: str | None, variant: str | None, runtime: Runtime
) -> tuple[Any, str]:
    """What `read` makes of a model's folder (given, in the package, or fetched from the hub), and its identity."""
    folder = local_folder(model)
    where = str(folder) if folder else model
    if not runtime.progress:
        logging.disable_progress_bar()  # the bar of loading, which says little and stays on the terminal
    try:
        if not folder:  # the snapshot's folder is named after the commit, which a manifest should hold
            with hub_or_cache():
                folder = Path(DiffusionPipeline.download(model, variant=variant, revision=revision))
        pipeline = read(folder)
    except UNREADABLE as error:
        told = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"the weights of the decoder could not be read from {where}: {told}\nGive "
            "decoder.model=FOLDER of a downloaded copy (hf download MODEL --local-dir FOLDER), connect "
            "to the network once, or choose decoder=retrieval, which needs no weights."
        ) from error
    finally:
        logging.enable_progress_bar()
    return pipeline, identity_of(model, folder)


def local_folder(model: str) -> Path | None:
    """The folder that a model's name stands for, or None where it is a hub id."""
    if model.startswith(PACKAGED):
        return Path(prefprior.__file__).parent / model.removeprefix(PACKAGED)
    return Path(model) if Path(model).is_dir() else None


def identity_of(model: str, folder: Path) -> str:
    """Model and version: the commit for a hub snapshot, else a hash over the folder's layout and configurations.

    Weights count by name and size: gigabytes are not read to name them.
    """
    if "snapshots" in folder.parts:
        return f"{model}@{folder.name[:12]}"
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(folder)} {path.stat().st_size}\n".encode())
        if path.suffix == ".json":
            digest.update(path.read_bytes())
    return f"{model}#{digest.hexdigest()[:12]}"
