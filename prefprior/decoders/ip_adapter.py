"""IP-Adapter: Stable Diffusion 1.5 or XL steered by image embeddings and words together, also in a few steps.

Shapes: B pictures, D dimension.
"""

from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import diffusers
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from diffusers.models.embeddings import ImageProjection
from diffusers.utils import is_peft_available
from PIL.Image import Image
from torch import Tensor

from prefprior.decoders.diffusers_decoder import PipelineDecoder, Runtime, load, local_folder
from prefprior.errors import nearest
from prefprior.hub import hub_or_cache
from prefprior.nodes import Loadable


@dataclass(frozen=True, kw_only=True)
class AdapterWeights(Loadable):
    """Which IP-Adapter is put on the pipeline."""

    folder: str
    weight: str
    model: str = "h94/IP-Adapter"  # a hub id or a folder
    revision: str | None = "main"


@dataclass(frozen=True, kw_only=True)
class LoraWeights(Loadable):
    """Few-step weights that are merged into the pipeline's."""

    model: str  # a hub id or a folder
    weight: str
    revision: str | None = "main"


@dataclass(frozen=True, kw_only=True)
class Scheduler(Loadable):
    """A scheduler of diffusers, where few-step weights want their own."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = [name for name in dir(diffusers) if name.endswith("Scheduler")]
        if self.name not in known:
            raise ValueError(f"scheduler.name={self.name} is not a scheduler of diffusers{nearest(self.name, known)}")

    def like(self, other: Any) -> Any:
        """It, with the configuration of another scheduler where the options do not say otherwise."""
        return getattr(diffusers, self.name).from_config(other.config, **self.options)


class PerPicture:
    """Each picture of a batch has its own embedding.

    diffusers repeats the embeddings it is given for every prompt, so that each picture would be made from a mixture of
    all embeddings in its batch.
    """

    def prepare_ip_adapter_image_embeds(
        self,
        ip_adapter_image: Any,
        ip_adapter_image_embeds: list[Tensor],
        device: torch.device,
        num_images_per_prompt: int,
        do_classifier_free_guidance: bool,
    ) -> list[Tensor]:
        """The embeddings as given: (B, 1, D) for each adapter, doubled under guidance with the negative half first."""
        return [embeddings.to(device) for embeddings in ip_adapter_image_embeds]


class PerPictureSD(PerPicture, StableDiffusionPipeline):
    """Stable Diffusion 1.5."""


class PerPictureSDXL(PerPicture, StableDiffusionXLPipeline):
    """Stable Diffusion XL."""


class IPAdapter(PipelineDecoder):
    """A Stable Diffusion pipeline with IP-Adapter weights, given `ip_adapter_image_embeds`."""

    takes_prompt = True

    def __init__(
        self,
        *,
        family: str,  # sd15 or sdxl
        model: str,
        adapter: AdapterWeights,
        space_name: str,
        revision: str | None = "main",
        variant: str | None = None,
        scale: float = 0.8,  # weight of the embedding against the words; with no words, 1
        steps: int = 30,
        guidance: float = 5.0,
        size: int = 512,
        negative_prompt: str = "",
        lora: LoraWeights | None = None,
        scheduler: Scheduler | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        families: dict[str, Any] = {"sd15": PerPictureSD, "sdxl": PerPictureSDXL}
        if family not in families:
            raise ValueError(f"family is {family!r}; it must be sd15 or sdxl{nearest(family, families)}")
        if lora is not None and not is_peft_available():
            raise ValueError("a LoRA (decoder.lora) needs the package peft: pip install 'prefprior[decoders]'")
        runtime = runtime or Runtime()
        if runtime.attention == "sliced":  # it would replace the adapter's attention, and the embedding with it
            raise ValueError("an IP-Adapter does not work with runtime.attention=sliced. Use default or offload.")
        # What a picture is checked for is the gallery's choice (safety=...), and would otherwise be loaded twice.
        unchecked = {"safety_checker": None, "requires_safety_checker": False} if family == "sd15" else {}
        read = self.reader(families[family], variant, runtime, **unchecked)
        pipeline, identity = load(read, model, revision=revision, variant=variant, runtime=runtime)
        if scheduler is not None:
            pipeline.scheduler = scheduler.like(pipeline.scheduler)
        if lora is not None:
            _load_lora(pipeline, lora)
            identity += f" + {lora.model}/{lora.weight}"
        _load_adapter(pipeline, adapter)
        identity += f" + {adapter.model}/{adapter.folder}/{adapter.weight}"
        super().__init__(pipeline, space_name=space_name, identity=identity, runtime=runtime)
        self.scale, self.steps, self.guidance, self.size = scale, steps, guidance, size
        self.negative_prompt = negative_prompt

    @property
    def dim(self) -> int:
        """Dimension the adapter's projection was made for."""
        return int(self._projection.image_embeds.in_features)

    @property
    def _projection(self) -> Any:
        return self.pipeline.unet.encoder_hid_proj.image_projection_layers[0]

    def _run(
        self, embeddings_BD: Tensor, negative_BD: Tensor | None, prompt: str, generators: list[torch.Generator]
    ) -> list[Image]:
        # The pipeline's own rule: a UNet distilled with a guidance input is not guided by a second pass.
        guided = self.guidance > 1 and self.pipeline.unet.config.time_cond_proj_dim is None
        given = embeddings_BD[:, None]
        if guided:
            negative_BD = torch.zeros_like(embeddings_BD) if negative_BD is None else negative_BD
            given = torch.cat([negative_BD[:, None], given])
        self.pipeline.set_ip_adapter_scale(self.scale if prompt else 1.0)
        return list(
            self.pipeline(
                prompt=[prompt] * len(embeddings_BD),
                negative_prompt=[self.negative_prompt] * len(embeddings_BD),
                ip_adapter_image_embeds=[given],
                num_inference_steps=self.steps,
                guidance_scale=self.guidance,
                height=self.size,
                width=self.size,
                generator=generators,
            ).images
        )


def _place(model: str) -> str:
    folder = local_folder(model)
    return str(folder) if folder else model


def _load_lora(pipeline: Any, lora: LoraWeights) -> None:
    try:
        with nullcontext() if local_folder(lora.model) else hub_or_cache():
            pipeline.load_lora_weights(_place(lora.model), weight_name=lora.weight, revision=lora.revision)
    except (OSError, ValueError) as error:
        raise _unreadable("the LoRA", "lora", lora.model, lora.weight, error) from error
    pipeline.fuse_lora()


def _load_adapter(pipeline: Any, adapter: AdapterWeights) -> None:
    try:
        with nullcontext() if local_folder(adapter.model) else hub_or_cache():
            pipeline.load_ip_adapter(
                _place(adapter.model),
                subfolder=adapter.folder,
                weight_name=adapter.weight,
                image_encoder_folder=None,
                revision=adapter.revision,
            )
    except OSError as error:
        place = f"{adapter.folder}/{adapter.weight}"
        raise _unreadable("the IP-Adapter", "adapter", adapter.model, place, error) from error
    projection = pipeline.unet.encoder_hid_proj.image_projection_layers[0]
    if not isinstance(projection, ImageProjection):
        raise ValueError(
            f"{adapter.weight} needs the encoder's hidden states, not its embedding (it is a plus, full "
            "or face variant). Choose ip-adapter_sd15, ip-adapter_sdxl or ip-adapter_sdxl_vit-h."
        )


def _unreadable(what: str, key: str, model: str, place: str, error: Exception) -> ValueError:
    return ValueError(
        f"{what} weights {model}/{place} could not be read: {str(error).splitlines()[0]}\nGive "
        f"decoder.{key}.model=FOLDER of a downloaded copy (hf download {model} --local-dir FOLDER)."
    )
