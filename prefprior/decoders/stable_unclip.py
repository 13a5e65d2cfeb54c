"""Stable unCLIP 2.1: Stable Diffusion 2.1 conditioned on ViT-H/14 embeddings, with words beside them.

Shapes: B pictures, D dimension.
"""

import torch
from diffusers import StableUnCLIPImg2ImgPipeline
from PIL.Image import Image
from torch import Tensor

from prefprior.decoders.diffusers_decoder import PipelineDecoder, Runtime, load


class StableUnclip(PipelineDecoder):
    """`StableUnCLIPImg2ImgPipeline`, given embeddings instead of pictures; its unconditional embedding is zero."""

    takes_negative = False
    takes_prompt = True

    def __init__(
        self,
        *,
        model: str = "stabilityai/stable-diffusion-2-1-unclip",
        space_name: str = "ViT-H-14/laion2b_s32b_b79k",
        revision: str | None = "main",
        variant: str | None = None,
        steps: int = 20,
        guidance: float = 10.0,
        noise_level: int = 0,  # 0 to 999: how much of the embedding is hidden; more means more varied pictures
        size: int = 768,
        negative_prompt: str = "",
        runtime: Runtime | None = None,
    ) -> None:
        runtime = runtime or Runtime()
        read = self.reader(StableUnCLIPImg2ImgPipeline, variant, runtime)
        pipeline, identity = load(read, model, revision=revision, variant=variant, runtime=runtime)
        super().__init__(pipeline, space_name=space_name, identity=identity, runtime=runtime)
        levels = pipeline.image_noising_scheduler.config.num_train_timesteps
        if not 0 <= noise_level < levels or steps < 1 or size % 8:
            raise ValueError(
                f"stable_unclip needs 0 <= noise_level < {levels}, steps >= 1 and a size divisible by 8, "
                f"got {noise_level}, {steps} and {size}"
            )
        self.steps, self.guidance, self.noise_level, self.size = steps, guidance, noise_level, size
        self.negative_prompt = negative_prompt

    @property
    def dim(self) -> int:
        """Dimension of the normaliser that scales embeddings before noise is added."""
        return int(self.pipeline.image_normalizer.config.embedding_dim)

    def _run(
        self, embeddings_BD: Tensor, negative_BD: Tensor | None, prompt: str, generators: list[torch.Generator]
    ) -> list[Image]:
        return list(
            self.pipeline(
                image_embeds=embeddings_BD,
                prompt=[prompt] * len(embeddings_BD),
                negative_prompt=[self.negative_prompt] * len(embeddings_BD),
                num_inference_steps=self.steps,
                guidance_scale=self.guidance,
                noise_level=self.noise_level,
                height=self.size,
                width=self.size,
                generator=generators,
            ).images
        )
