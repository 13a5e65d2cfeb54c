"""The prior as a diffusers-style pipeline: pictures that a user liked in, image embeddings for a decoder out.

    pipe = prefprior.load("runs/train/mine")        # or a repository of the hub
    made = pipe(likes=[picture, ...], dislikes=[picture], num_images=4)
    KandinskyV22Pipeline.from_pretrained(...)(**made.kandinsky()).images

Shapes: K rated pictures, n pictures to make, D dimension.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelCard, ModelHubMixin, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from PIL import Image
from torch import Tensor

import prefprior.world  # noqa: F401 (registers the encoder of its space)
from prefprior.data.decoding import BadPictureError, as_rgb
from prefprior.data.embedding.encoders import OpenClipEncoder, encoder_of
from prefprior.data.embedding.text_axes import read_strengths
from prefprior.files import write_json
from prefprior.history import History
from prefprior.hub import hub_or_cache
from prefprior.inference.predictor import TrainedPredictor
from prefprior.inference.steering import Steering
from prefprior.model_card import TEMPLATE, card_data, card_values, config_of
from prefprior.models.diffusion.sampler import Sampler
from prefprior.runs import CHECKPOINT

PRECISIONS = (torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True, eq=False)
class PriorOutput:
    """Raw embeddings, as decoders take them."""

    image_embeds: Tensor  # (n, D)
    negative_image_embeds: Tensor  # (n, D)

    def kandinsky(self) -> dict[str, Tensor]:
        """Keyword arguments of `KandinskyV22Pipeline`."""
        return {"image_embeds": self.image_embeds, "negative_image_embeds": self.negative_image_embeds}

    def ip_adapter(self) -> list[Tensor]:
        """`ip_adapter_image_embeds` of a pipeline under guidance with `num_images_per_prompt` 1 and n prompts: one
        tensor per adapter, negatives first, one picture each (2n, 1, D)."""
        return [torch.cat([self.negative_image_embeds, self.image_embeds])[:, None]]


class PreferencePriorPipeline(ModelHubMixin):
    """A trained prior and the encoder of its space. `save_pretrained` and `push_to_hub` are huggingface_hub's."""

    def __init__(self, predictor: TrainedPredictor, encoder: OpenClipEncoder) -> None:
        if encoder.space_name != predictor.space.name:
            raise ValueError(
                f"the prior uses the space {predictor.space.name}, but the encoder uses {encoder.space_name}. "
                "Choose the encoder of the prior's space."
            )
        self.predictor = predictor
        self.encoder = encoder
        self.dtype = torch.float32

    @classmethod
    def from_pretrained(  # type: ignore[override]  # the mixin's own hands the keys of config.json to the constructor
        cls,
        source: str | Path,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        torch_dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
        encoder: OpenClipEncoder | None = None,
        trust: Sequence[str] = (),
    ) -> "PreferencePriorPipeline":
        """From a checkpoint, a folder that holds one, or a repository of the Hugging Face hub that does.

        `revision`, `token`, `cache_dir` and `local_files_only` are of the hub; `torch_dtype` is the precision of the
        networks' products (`to` says more); `trust` names packages beside prefprior whose classes it may name.
        """
        path = _found(
            source, revision=revision, token=token, cache_dir=cache_dir, local_files_only=local_files_only
        )  # fmt: skip
        predictor = TrainedPredictor.load(path, device, trust=trust)
        if encoder is None:
            encoder = encoder_of(predictor.space.name, str(device))
        return cls(predictor, encoder).to(torch_dtype)

    def to(self, place: str | torch.device | torch.dtype) -> "PreferencePriorPipeline":
        """Moves prior and encoder to a device, or sets the precision of the prior's products.

        A lower precision is autocast's: weights, norms and the solver stay in float32.
        """
        if isinstance(place, torch.dtype):
            if place not in PRECISIONS:
                raise ValueError(f"torch_dtype is {place}; it must be one of {', '.join(map(str, PRECISIONS))}")
            self.dtype = place
        else:
            self.predictor.model.to(place)
            self.encoder.to(place)
        return self

    @property
    def device(self) -> torch.device:
        """Where the prior's weights are."""
        return self.predictor.device

    @property
    def config(self) -> dict[str, Any]:
        """The nodes that describe it; what `config.json` holds."""
        return config_of(self.predictor)

    def generate_model_card(self, *, repo_id: str | None = None, evaluation: str | Path | None = None) -> ModelCard:
        """The card, with the figures of a run of `python evaluate.py` if one is given."""
        values = card_values(self.predictor, repo_id=repo_id, evaluation=evaluation)
        return ModelCard.from_template(card_data(), template_str=TEMPLATE.read_text(encoding="utf-8"), **values)

    def _save_pretrained(self, save_directory: Path) -> None:
        self.predictor.save(save_directory / CHECKPOINT)
        write_json(save_directory / "config.json", self.config)

    def __call__(
        self,
        likes: Sequence[Image.Image] = (),
        dislikes: Sequence[Image.Image] = (),
        *,
        ratings: Sequence[float] | None = None,
        prompt: str | None = None,
        prompt_weight: float = 0.5,
        num_images: int = 4,
        generator: torch.Generator | None = None,
        sampler: Sampler | None = None,
        copy_threshold: float | None = 0.95,
        axes: Mapping[str, float] | None = None,
    ) -> PriorOutput:
        """Embeddings of `num_images` pictures for a user who liked and disliked these, most recent first.

        `ratings` in [-1, 1], one for each like and then each dislike, say more than like (1) and dislike (-1) do.
        `prompt`, `prompt_weight`, `copy_threshold` and `axes` (such as `{"darker": 0.5}`) are what they are for a
        gallery (docs/sampling.md); `sampler` is the checkpoint's own unless given.
        """
        pictures = [*likes, *dislikes]
        given = [1.0] * len(likes) + [-1.0] * len(dislikes) if ratings is None else [float(r) for r in ratings]
        if len(given) != len(pictures):
            raise ValueError(f"{len(pictures)} pictures need {len(pictures)} ratings, got {len(given)}")
        if num_images < 1:
            raise ValueError(f"num_images must be at least 1, got {num_images}")
        steering = None
        if axes is not None:
            directions_PD = self.predictor.model.lengths.direction_PD
            steering = Steering.named(read_strengths(axes), self.encoder, directions_PD)
        history = self._history(pictures, given, len(likes))
        if generator is None:
            generator = torch.Generator()
            generator.seed()
        text_BD = None if prompt is None else self.encoder.encode_texts([prompt])
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            made_BnD = self.predictor.sample(
                history, num_images, generator, sampler=sampler, text_BD=text_BD, text_weight=prompt_weight,
                copy_threshold=copy_threshold, steering=steering,
            )  # fmt: skip
            negative_BnD = self.predictor.negatives(history, num_images, generator, sampler=sampler)
        return PriorOutput(made_BnD[0].float(), negative_BnD[0].float())

    def _history(self, pictures: list[Image.Image], ratings: list[float], likes: int) -> History:
        embeddings_KD = self.encoder.encode_images([_as_rgb(i, p) for i, p in enumerate(pictures)])
        # Two lists are given, not one sequence: the first like and the first dislike are as recent as each other.
        ages = [*range(likes), *range(len(pictures) - likes)]
        return History.of(embeddings_KD, ratings, ages_K=ages, user="you")


def _as_rgb(place: int, picture: Image.Image) -> Image.Image:
    try:
        return as_rgb(picture)
    except BadPictureError as error:
        raise ValueError(f"picture {place} (counted from 0, likes first) cannot be used: {error}") from error


def _found(source: str | Path, *, local_files_only: bool, **hub: Any) -> Path:
    path = Path(source)
    if path.is_file():
        return path
    if path.is_dir():
        return path / CHECKPOINT
    try:
        with hub_or_cache():
            return Path(hf_hub_download(str(source), CHECKPOINT, local_files_only=local_files_only, **hub))
    except (HFValidationError, HfHubHTTPError, OSError) as error:
        raise ValueError(
            f"{source} is neither a checkpoint, nor a folder, nor a repository of the Hugging Face Hub "
            f"that could be reached ({type(error).__name__}). Make a checkpoint with: python train.py"
        ) from error


load = PreferencePriorPipeline.from_pretrained
