"""Which pictures should not be shown as they are, and what is shown in their place."""

from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from huggingface_hub import snapshot_download
from PIL import Image, ImageFilter
from transformers import CLIPImageProcessor

from prefprior.decoders.diffusers_decoder import identity_of, local_folder
from prefprior.hub import hub_or_cache
from prefprior.nodes import Loadable


@runtime_checkable
class Safety(Protocol):
    """Tells which pictures to withhold."""

    identity: str

    def to(self, device: torch.device | str) -> None:
        """Moves its weights."""

    def flagged(self, pictures: list[Image.Image]) -> list[bool]:
        """For each picture, whether it is withheld."""


class NoSafety(Loadable):
    """Withholds nothing."""

    identity = "none"

    def to(self, device: torch.device | str) -> None:
        """Nothing to move."""

    def flagged(self, pictures: list[Image.Image]) -> list[bool]:
        """Nothing is withheld."""
        return [False] * len(pictures)


class DiffusersSafety(Loadable):
    """The checker that comes with Stable Diffusion 1: CLIP concepts with a threshold each."""

    def __init__(
        self,
        *,
        model: str = "CompVis/stable-diffusion-safety-checker",
        revision: str | None = "main",
        batch_size: int = 16,
    ) -> None:
        folder = local_folder(model)
        try:
            if folder is None:
                with hub_or_cache():
                    folder = Path(snapshot_download(model, revision=revision))
            self._checker = StableDiffusionSafetyChecker.from_pretrained(folder).eval()
            self._processor = CLIPImageProcessor.from_pretrained(folder)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"the safety checker could not be read from {model}: {str(error).splitlines()[0]}\n"
                "Give safety.model=FOLDER of a downloaded copy, or choose safety=none."
            ) from error
        self.identity, self.batch_size = identity_of(model, folder), batch_size

    def to(self, device: torch.device | str) -> None:
        """Moves the checker."""
        self._checker.to(device)

    def flagged(self, pictures: list[Image.Image]) -> list[bool]:
        """For each picture, whether any concept passes its threshold."""
        found: list[bool] = []
        for start in range(0, len(pictures), self.batch_size):
            batch = pictures[start : start + self.batch_size]
            pixels = self._processor(batch, return_tensors="pt").pixel_values.to(self._checker.device)
            # The checker also blacks the pictures it is given out; the card below says more, so it gets blanks.
            blanks = np.zeros((len(batch), 1, 1, 3), dtype=np.float32)
            with torch.inference_mode():
                found += [bool(flag) for flag in self._checker(images=blanks, clip_input=pixels)[1]]
        return found


def blurred_card(picture: Image.Image) -> Image.Image:
    """What is shown in place of a withheld picture: its colours, and no more."""
    side = max(picture.size)
    return picture.resize((4, 4)).resize(picture.size).filter(ImageFilter.GaussianBlur(side / 12))
