"""IP-Adapter: Stable Diffusion 1.5 or XL steered by image embeddings and words together, also in a few steps.

Shapes: B pictures, D dimension.
"""

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
        adapter_weight: str,
        adapter_folder: str,
        space_name: str,
        adapter: str = "h94/IP-Adapter",
        revision: str | None = "main",
        adapter_revision: str | None = "main",
        variant: str | None = None,
        scale: float = 0.8,  # weight of the embedding against the words; with no words, 1
        steps: int = 30,
        guidance: float = 5.0,
        size: int = 512,
        negative_prompt: str = "",
        scheduler: str | None = None,  # a diffusers class, where a few-step variant wants its own
        scheduler_options: dict[str, Any] | None = None,
        lora: str | None = None,  # few-step weights: a hub id or a folder
        lora_weight: str | None = None,
        lora_revision: str | None = "main",
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
            pipeline.scheduler = _scheduler(scheduler, pipeline.scheduler.config, scheduler_options or {})
        if lora is not None:
            pipeline.load_lora_weights(_place(lora), weight_name=lora_weight, revision=lora_revision)
            pipeline.fuse_lora()
            identity += f" + {lora}/{lora_weight or ''}"
        _load_adapter(pipeline, adapter, adapter_folder, adapter_weight, adapter_revision)
        identity += f" + {adapter}/{adapter_folder}/{adapter_weight}"
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


def _load_adapter(pipeline: Any, adapter: str, folder: str, weight: str, revision: str | None) -> None:
    try:
        pipeline.load_ip_adapter(
            _place(adapter), subfolder=folder, weight_name=weight, image_encoder_folder=None, revision=revision
        )
    except OSError as error:
        raise ValueError(
            f"the IP-Adapter weights {adapter}/{folder}/{weight} could not be read: {str(error).splitlines()[0]}\n"
            f"Give decoder.adapter=FOLDER of a downloaded copy (hf download {adapter} --local-dir FOLDER)."
        ) from error
    projection = pipeline.unet.encoder_hid_proj.image_projection_layers[0]
    if not isinstance(projection, ImageProjection):
        raise ValueError(
            f"{weight} reads the encoder's hidden states, not its embedding (it is a plus, full or face variant). "
            "Choose ip-adapter_sd15, ip-adapter_sdxl or ip-adapter_sdxl_vit-h."
        )


def _scheduler(name: str, config: Any, options: dict[str, Any]) -> Any:
    known = [n for n in dir(diffusers) if n.endswith("Scheduler")]
    if name not in known:
        raise ValueError(f"scheduler={name} is no scheduler of diffusers{nearest(name, known)}")
    return getattr(diffusers, name).from_config(config, **options)
