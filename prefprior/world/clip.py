"""The miniature CLIP: an open_clip model with a registered config of its own, and the weights that ship with it.

It keeps open_clip's default preprocessing (OpenAI's mean and standard deviation), so that whoever makes the model or
its transform through open_clip alone gets the same numbers.

Shapes: N pictures or texts, Y X rows and columns, C colour channels, D dim of the embedding.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.transform import PreprocessCfg, image_transform_v2
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from prefprior.data.embedding.encoders import LoadedClip, register_encoder
from prefprior.files import written_whole
from prefprior.world import tower  # registers the image tower with timm
from prefprior.world.tokenizer import WorldTokenizer

MODEL_NAME = "world-clip"
CONFIG = Path(__file__).with_name(f"{MODEL_NAME}.json")  # open_clip names a config after its file
TEMPLATES = ("extremely {}", "very {}", "quite {}")  # captions put one of these adverbs before an adjective
WEIGHTS = Path(__file__).with_name("weights") / "clip.safetensors"


def register() -> None:
    """Makes `open_clip.create_model("world-clip")` and `OpenClipEncoder(model="world-clip")` work; once is enough."""
    if MODEL_NAME not in open_clip.list_models():
        assert callable(tower.world_tower)  # imported for its registration
        open_clip.add_model_config(CONFIG)
    register_encoder(MODEL_NAME, lambda: LoadedClip(*load(), templates=TEMPLATES))


def create(weights: Path | None = None) -> tuple[open_clip.CLIP, WorldTokenizer]:
    """The model and its tokenizer; untrained unless weights are given."""
    model = open_clip.create_model(MODEL_NAME, pretrained=str(weights) if weights else None)
    tokenizer = WorldTokenizer(context_length=model.context_length)
    if tokenizer.vocab_size != model.vocab_size:
        raise ValueError(
            f"captions use {tokenizer.vocab_size} tokens, {CONFIG.name} says vocab_size {model.vocab_size}: "
            "make them agree, then train again with scripts/build_world.py"
        )
    return model, tokenizer


def load(weights: str | Path = WEIGHTS) -> tuple[open_clip.CLIP, Callable[..., Any], WorldTokenizer]:
    """The trained model in eval mode, its preprocessing for PIL pictures, and its tokenizer."""
    weights = Path(weights)
    if not weights.is_file():
        raise ValueError(f"no weights at {weights}. Make them with: python scripts/build_world.py clip")
    model, tokenizer = create(weights)
    with safe_open(weights, framework="pt") as file:
        words = (file.metadata() or {}).get("vocabulary", "")
    if words != tokenizer.vocabulary:
        raise ValueError(f"{weights} was trained on other captions; train again with scripts/build_world.py clip")
    preprocess = image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)
    return model.eval(), preprocess, tokenizer


def save(model: open_clip.CLIP, tokenizer: WorldTokenizer, path: str | Path) -> None:
    """Write weights: matrices and kernels as float16, vectors and statistics as they are."""
    state = {
        name: (value.half() if value.ndim >= 2 and value.is_floating_point() else value).detach().clone().contiguous()
        for name, value in model.state_dict().items()
    }
    with written_whole(path, SafetensorError) as part:
        save_file(state, part, metadata={"vocabulary": tokenizer.vocabulary, "model": MODEL_NAME})
        part.chmod(0o644)  # safetensors writes files only their owner may read


def normalised(pictures_NYXC: np.ndarray) -> Tensor:
    """uint8 pictures (N, Y, X, C) as the model wants them, (N, C, Y, X): `preprocess` for a whole array at once."""
    return standardised(torch.from_numpy(np.ascontiguousarray(pictures_NYXC)).permute(0, 3, 1, 2).float() / 255.0)


def standardised(pictures_NCYX: Tensor) -> Tensor:
    """Pictures in [0, 1], (N, C, Y, X), with CLIP's mean and standard deviation taken out; differentiable."""
    mean = pictures_NCYX.new_tensor(OPENAI_DATASET_MEAN)[:, None, None]
    std = pictures_NCYX.new_tensor(OPENAI_DATASET_STD)[:, None, None]
    return (pictures_NCYX - mean) / std


@torch.no_grad()
def embed_pictures(model: open_clip.CLIP, pictures_NYXC: np.ndarray, batch: int = 256) -> Tensor:
    """Raw projections (N, D) of uint8 pictures."""
    parts = [pictures_NYXC[start : start + batch] for start in range(0, len(pictures_NYXC), batch)]
    return torch.cat([model.encode_image(normalised(part)) for part in parts])


@torch.no_grad()
def embed_texts(model: open_clip.CLIP, tokenizer: WorldTokenizer, texts: Sequence[str], batch: int = 256) -> Tensor:
    """Raw projections (N, D) of texts."""
    parts = [list(texts[start : start + batch]) for start in range(0, len(texts), batch)]
    return torch.cat([model.encode_text(tokenizer(part)) for part in parts])
