"""Kandinsky 2.2: the decoder half of an unCLIP, with negative embeddings; also its img2img and ControlNet-depth kin.

The built-in world's decoder is this very class with its own weights. Shapes: B pictures, D dimension.
"""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from diffusers import KandinskyV22ControlnetPipeline, KandinskyV22Img2ImgPipeline, KandinskyV22Pipeline
from PIL import Image
from torch import Tensor

from prefprior.data.decoding import BadPictureError, decode
from prefprior.data.embedding.vectors import load_array
from prefprior.decoders.diffusers_decoder import PipelineDecoder, Runtime, load


class Kandinsky(PipelineDecoder):
    """`KandinskyV22Pipeline`, given embeddings."""

    PATHS: ClassVar[tuple[str, ...]] = ("unconditional",)

    pipeline_class: type = KandinskyV22Pipeline
    takes_picture = True

    def __init__(
        self,
        *,
        model: str = "kandinsky-community/kandinsky-2-2-decoder",
        space_name: str = "ViT-bigG-14/laion2b_s39b_b160k",
        revision: str | None = "main",
        variant: str | None = None,
        steps: int = 50,
        guidance: float = 4.0,
        size: int = 512,
        unconditional: str | None = None,  # .npy of a raw embedding to move away from where no negative is given
        runtime: Runtime | None = None,
    ) -> None:
        if steps < 1 or size < 8:
            raise ValueError(f"a decoder needs steps >= 1 and size >= 8, got {steps} and {size}")
        runtime = runtime or Runtime()
        read = self.reader(self.pipeline_class, variant, runtime)
        pipeline, identity = load(read, model, revision=revision, variant=variant, runtime=runtime)
        super().__init__(pipeline, space_name=space_name, identity=identity, runtime=runtime)
        self.steps, self.guidance, self.size = steps, guidance, size
        self.unconditional_D = self._read_unconditional(unconditional)

    @property
    def dim(self) -> int:
        """Dimension the UNet's image projection was made for."""
        return int(self.pipeline.unet.config.encoder_hid_dim)

    def repaint(
        self,
        picture: Image.Image,
        embeddings_BD: Tensor,
        *,
        strength: float,
        negative_BD: Tensor | None,
        generators: list[torch.Generator],
    ) -> list[Image.Image]:
        """One picture for each raw embedding, each beginning as `picture` under a share of the noise."""
        _require_strength("repaint", strength, self.steps)
        # The img2img pipeline has the same networks, so it needs no weights of its own.
        pipeline = KandinskyV22Img2ImgPipeline(**self.pipeline.components)
        pipeline.set_progress_bar_config(disable=not self.runtime.progress, leave=False)

        def run(
            embeddings_BD: Tensor, negative_BD: Tensor | None, generators: list[torch.Generator]
        ) -> list[Image.Image]:
            more = {"image": [picture] * len(embeddings_BD), "strength": strength}
            return self._call(pipeline, embeddings_BD, negative_BD, generators, more)

        return self._in_batches(run, embeddings_BD, negative_BD, None, generators)

    def _run(
        self, embeddings_BD: Tensor, negative_BD: Tensor | None, prompt: str, generators: list[torch.Generator]
    ) -> list[Image.Image]:
        more = self._more(len(embeddings_BD), embeddings_BD)
        return self._call(self.pipeline, embeddings_BD, negative_BD, generators, more)

    def _call(
        self,
        pipeline: Any,
        embeddings_BD: Tensor,
        negative_BD: Tensor | None,
        generators: list[torch.Generator],
        more: dict[str, Any],
    ) -> list[Image.Image]:
        if negative_BD is None:
            negative_BD = self.unconditional_D.to(embeddings_BD).expand_as(embeddings_BD)
        return list(
            pipeline(
                image_embeds=embeddings_BD,
                negative_image_embeds=negative_BD,
                height=self.size,
                width=self.size,
                num_inference_steps=self.steps,
                guidance_scale=self.guidance,
                generator=generators,
                **more,
            ).images
        )

    def _more(self, count: int, like: Tensor) -> dict[str, Any]:
        """What a variant adds to the call."""
        return {}

    def _read_unconditional(self, path: str | None) -> Tensor:
        if path is None:
            return torch.zeros(self.dim)
        value = np.ravel(load_array(Path(path)))
        if value.dtype.kind != "f" or len(value) != self.dim or not np.isfinite(value).all():
            raise ValueError(
                f"unconditional={path} contains {value.dtype} of {len(value)} dimensions; it must be one "
                f"embedding of {self.dim} finite floats. Embed a picture with the encoder of "
                f"{self.space_name}."
            )
        return torch.from_numpy(value.astype(np.float32))


class KandinskyImg2Img(Kandinsky):
    """Starts from one given picture instead of noise, and bends it towards each embedding."""

    PATHS = ("image", "unconditional")
    pipeline_class = KandinskyV22Img2ImgPipeline

    def __init__(
        self,
        *,
        image: str,  # file
        strength: float = 0.6,  # 0 keeps the picture, 1 forgets it
        model: str = "kandinsky-community/kandinsky-2-2-decoder",
        space_name: str = "ViT-bigG-14/laion2b_s39b_b160k",
        revision: str | None = "main",
        variant: str | None = None,
        steps: int = 50,
        guidance: float = 4.0,
        size: int = 512,
        unconditional: str | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        _require_strength("strength", strength, steps)
        self.picture, self.strength = read_picture(image, "image"), strength
        super().__init__(
            model=model, space_name=space_name, revision=revision, variant=variant, steps=steps, guidance=guidance,
            size=size, unconditional=unconditional, runtime=runtime,
        )  # fmt: skip

    def _more(self, count: int, like: Tensor) -> dict[str, Any]:
        return {"image": [self.picture] * count, "strength": self.strength}


class KandinskyControlnet(Kandinsky):
    """Follows the depth of one given depth map."""

    PATHS = ("depth", "unconditional")
    takes_picture = False  # its network wants a depth map
    pipeline_class = KandinskyV22ControlnetPipeline

    def __init__(
        self,
        *,
        depth: str,  # file of a depth map: near is bright
        model: str = "kandinsky-community/kandinsky-2-2-controlnet-depth",
        space_name: str = "ViT-bigG-14/laion2b_s39b_b160k",
        revision: str | None = "main",
        variant: str | None = None,
        steps: int = 50,
        guidance: float = 4.0,
        size: int = 512,
        unconditional: str | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        self.depth = read_picture(depth, "depth").resize((size, size))
        super().__init__(
            model=model, space_name=space_name, revision=revision, variant=variant, steps=steps, guidance=guidance,
            size=size, unconditional=unconditional, runtime=runtime,
        )  # fmt: skip

    def _more(self, count: int, like: Tensor) -> dict[str, Any]:
        hint_HWC = torch.from_numpy(np.asarray(self.depth, dtype=np.float32) / 255)
        return {"hint": hint_HWC.permute(2, 0, 1).expand(count, -1, -1, -1).to(like)}


def _require_strength(name: str, strength: float, steps: int) -> None:
    if not 0 < strength <= 1 or int(steps * strength) < 1:
        raise ValueError(f"{name} must be in (0, 1] and leave at least one of {steps} steps, got {strength}")


def read_picture(path: str, name: str) -> Image.Image:
    """A picture file that a decoder was given, as RGB."""
    try:
        return decode(Path(path), path)
    except BadPictureError as error:
        raise ValueError(f"cannot read {name}={path} as a picture: {error}") from error
