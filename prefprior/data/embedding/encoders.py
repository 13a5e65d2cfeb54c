"""Pictures and texts into a CLIP space, by any open_clip model.

Shapes: N pictures or texts, D dimension of the space.
"""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from pickle import PickleError
from typing import Any, NamedTuple, Protocol, runtime_checkable

import open_clip
import torch
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor

from prefprior.errors import nearest, sentence
from prefprior.hub import hub_or_cache

# What open_clip and torch raise on files that are no weights of a model.
UNREADABLE = (
    OSError,
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    EOFError,
    PickleError,
    SafetensorError,
)


@runtime_checkable
class Encoder(Protocol):
    """Whatever puts pictures into a space."""

    space_name: str

    def encode_images(self, pictures: Sequence[Image.Image]) -> Tensor:
        """(N, D) raw projections in float32."""


class LoadedClip(NamedTuple):
    """A CLIP that is ready for use."""

    model: open_clip.CLIP  # or one of open_clip's that behaves alike, such as CoCa
    preprocess: Callable[[Image.Image], Tensor]
    tokenizer: Callable[[Sequence[str]], Tensor]
    templates: tuple[str, ...] = ("a {} picture", "a {} photo", "a {} painting")  # around a word that names an axis


# Models of open_clip whose weights come with a program, by name; see `register_encoder`.
_BUNDLED: dict[str, Callable[[], LoadedClip]] = {}


def register_encoder(model: str, load: Callable[[], LoadedClip]) -> None:
    """Makes a model known that brings its own weights: open_clip knows its architecture, `load` loads it.

    Its space has the model's name, and `OpenClipEncoder` takes no `pretrained` for it.
    """
    _BUNDLED[model] = load


class OpenClipEncoder:
    """An open_clip model with a pretrained tag, a local checkpoint, or weights that come with it (`register_encoder`).

    Weights are loaded when first needed. Projections are raw (not normalised): decoders need their length.
    """

    def __init__(
        self,
        *,
        model: str,
        pretrained: str | None = None,
        space: str | None = None,
        device: str = "cpu",
        batch_size: int = 64,
    ) -> None:
        """`pretrained` is one of open_clip's tags or a checkpoint file; `space` names the space of a local checkpoint
        (such as "ViT-H-14/laion2b_s32b_b79k" for a copy of those weights)."""
        known = open_clip.list_models()
        if model not in known:
            raise ValueError(f"open_clip has no model {model!r}{nearest(model, known)}")
        self.model_name, self.pretrained, self.batch_size = model, pretrained, batch_size
        self._device = torch.device(device)
        self._local = pretrained is not None and Path(pretrained).is_file()
        tags = open_clip.list_pretrained_tags_by_model(model)
        if model in _BUNDLED:
            if pretrained is not None:
                raise ValueError(f"{model} includes its weights: leave encoder.pretrained out")
            self.space_name = model
        elif pretrained is None or not (self._local or pretrained in tags):
            given = (
                f"{pretrained!r} is neither a file nor a pretrained tag of {model}"
                if pretrained
                else "encoder.pretrained is missing"
            )
            raise ValueError(f"{given}; its tags are {', '.join(tags) or '(none)'}{nearest(pretrained or '', tags)}")
        else:
            self.space_name = space or f"{model}/{Path(pretrained).stem if self._local else pretrained}"

    @cached_property
    def _loaded(self) -> LoadedClip:
        if self.model_name in _BUNDLED:
            loaded = _BUNDLED[self.model_name]()
        else:
            # OpenAI's weights were trained with another activation than their architecture's name says in open_clip.
            tag = {} if self._local else open_clip.get_pretrained_cfg(self.model_name, self.pretrained)
            try:
                with nullcontext() if self._local else hub_or_cache():
                    model, _, preprocess = open_clip.create_model_and_transforms(
                        self.model_name, self.pretrained, force_quick_gelu=bool(tag.get("quick_gelu", False))
                    )
                    loaded = LoadedClip(model, preprocess, open_clip.get_tokenizer(self.model_name))
            except UNREADABLE as error:
                remedy = (
                    "Copy the file again, or give another encoder.pretrained."
                    if self._local
                    else "They are downloaded once. Without a network, give a local file as encoder.pretrained and "
                    "its space as encoder.space."
                )
                told = " ".join((str(error) or type(error).__name__).split())[:300]
                raise ValueError(
                    f"the weights of {self.model_name} ({self.pretrained}) could not be loaded: {sentence(told)} "
                    f"{remedy}"
                ) from error
        return loaded._replace(model=loaded.model.eval().requires_grad_(False).to(self._device))

    @property
    def model(self) -> open_clip.CLIP:
        """The network."""
        return self._loaded.model

    @property
    def preprocess(self) -> Callable[[Image.Image], Tensor]:
        """One picture -> what the network takes."""
        return self._loaded.preprocess

    @property
    def templates(self) -> tuple[str, ...]:
        """Texts around a word that names an axis, with {} in its place."""
        return self._loaded.templates

    @property
    def dim(self) -> int:
        """Dimension of the space."""
        return int(open_clip.get_model_config(self.model_name)["embed_dim"])

    def to(self, device: torch.device | str) -> "OpenClipEncoder":
        """Moves the network."""
        self._device = torch.device(device)
        if "_loaded" in self.__dict__:
            self.model.to(self._device)
        return self

    def identity(self) -> dict[str, Any]:
        """Which encoder this is, down to its weights: what a manifest records."""
        digest = hashlib.sha256()
        for name, value in sorted(self.model.state_dict().items()):
            if name.startswith("visual."):
                # A few numbers of each tensor tell two trainings apart; all would take minutes on a large model.
                digest.update(name.encode() + str(tuple(value.shape)).encode())
                digest.update(value.detach().flatten()[:64].float().cpu().numpy().tobytes())
        return {
            "model": self.model_name,
            "pretrained": None if self._local else self.pretrained,
            "space": self.space_name,
            "weights": digest.hexdigest()[:16],
            "preprocess": " ".join(str(self.preprocess).split()),
        }

    @torch.no_grad()
    def encode_images(self, pictures: Sequence[Image.Image]) -> Tensor:
        """(N, D) raw projections of pictures, in float32 on the CPU."""
        parts = [
            self.encode_pixels(torch.stack([self.preprocess(p) for p in pictures[i : i + self.batch_size]])).cpu()
            for i in range(0, len(pictures), self.batch_size)
        ]
        return torch.cat(parts) if parts else torch.zeros(0, self.dim)

    @torch.no_grad()
    def encode_pixels(self, pixels_NCYX: Tensor) -> Tensor:
        """(N, D) raw projections of preprocessed pictures."""
        return self.model.encode_image(pixels_NCYX.to(self._device)).float()

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """(N, D) raw projections of texts, in float32 on the CPU."""
        encode, tokenizer = self.model.encode_text, self._loaded.tokenizer
        parts = [
            encode(tokenizer(list(texts[i : i + self.batch_size])).to(self._device)).float().cpu()
            for i in range(0, len(texts), self.batch_size)
        ]
        return torch.cat(parts) if parts else torch.zeros(0, self.dim)


def encoder_of(space_name: str, device: str = "cpu") -> OpenClipEncoder:
    """The encoder whose space a checkpoint lives in; `<model>/<pretrained tag>` is what spaces are called."""
    model, _, tag = space_name.partition("/")
    try:
        return OpenClipEncoder(model=model, pretrained=tag or None, device=device)
    except ValueError as error:
        raise ValueError(
            f"pictures and texts must be embedded with the encoder of {space_name}, which is not "
            f"available: {error}\nFor a space made by another program, give its embeddings: python "
            "embed.py --help"
        ) from error
