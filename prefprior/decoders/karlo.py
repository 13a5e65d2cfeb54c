"""Karlo: an open unCLIP of ViT-L/14 embeddings, with two super-resolution steps (64 -> 256 pixels).

Shapes: B pictures, D dimension.
"""

from pathlib import Path
from typing import Any

import torch
from diffusers import UnCLIPImageVariationPipeline, UnCLIPScheduler, UNet2DConditionModel, UNet2DModel
from diffusers.pipelines.deprecated.unclip import UnCLIPTextProjModel
from PIL.Image import Image
from torch import Tensor
from transformers import (
    CLIPImageProcessor,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionModelWithProjection,
)

from prefprior.decoders.diffusers_decoder import DTYPES, PipelineDecoder, Runtime, load

NETWORKS: dict[str, Any] = {
    "decoder": UNet2DConditionModel,
    "text_encoder": CLIPTextModelWithProjection,
    "text_proj": UnCLIPTextProjModel,
    "image_encoder": CLIPVisionModelWithProjection,
    "super_res_first": UNet2DModel,
    "super_res_last": UNet2DModel,
}
OTHERS: dict[str, Any] = {
    "tokenizer": CLIPTokenizer,
    "feature_extractor": CLIPImageProcessor,
    "decoder_scheduler": UnCLIPScheduler,
    "super_res_scheduler": UnCLIPScheduler,
}


class Karlo(PipelineDecoder):
    """`UnCLIPImageVariationPipeline`, given embeddings instead of pictures; its unconditional side is learned."""

    takes_negative = False

    def __init__(
        self,
        *,
        model: str = "kakaobrain/karlo-v1-alpha-image-variations",
        space_name: str = "ViT-L-14/openai",
        revision: str | None = "main",
        variant: str | None = None,
        steps: int = 25,
        upscale_steps: int = 7,
        guidance: float = 8.0,
        runtime: Runtime | None = None,
    ) -> None:
        if steps < 1 or upscale_steps < 1:
            raise ValueError(f"steps and upscale_steps must be at least 1, got {steps} and {upscale_steps}")
        runtime = runtime or Runtime()

        def read(folder: Path) -> UnCLIPImageVariationPipeline:
            # Part by part: diffusers moved one of the classes and no longer finds it where published folders name it.
            options = {"variant": variant, "dtype": DTYPES[runtime.dtype]}
            networks = {name: cls.from_pretrained(folder / name, **options) for name, cls in NETWORKS.items()}
            others = {name: cls.from_pretrained(folder / name) for name, cls in OTHERS.items()}
            return UnCLIPImageVariationPipeline(**networks, **others)

        pipeline, identity = load(read, model, revision=revision, variant=variant, runtime=runtime)
        super().__init__(pipeline, space_name=space_name, identity=identity, runtime=runtime)
        self.steps, self.upscale_steps, self.guidance = steps, upscale_steps, guidance

    @property
    def dim(self) -> int:
        """Dimension the text projection joins with the time embedding."""
        return int(self.pipeline.text_proj.config.clip_embeddings_dim)

    def _run(
        self, embeddings_BD: Tensor, negative_BD: Tensor | None, prompt: str, generators: list[torch.Generator]
    ) -> list[Image]:
        return list(
            self.pipeline(
                image_embeddings=embeddings_BD,
                decoder_num_inference_steps=self.steps,
                super_res_num_inference_steps=self.upscale_steps,
                decoder_guidance_scale=self.guidance,
                generator=generators,
            ).images
        )
