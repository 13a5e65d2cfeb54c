"""Published priors as a start: weights in the layout of a diffusers `PriorTransformer` into an in-context prior.

What was used, what was refused and what is new is told, never silent. Two layouts are known: with a token that tells
the time (Kandinsky 2.1 and 2.2, Karlo), and ECLIPSE's, which has none because it answers in one step.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from prefprior.fields import Fields
from prefprior.files import read_json, require_file
from prefprior.hub import hub_or_cache
from prefprior.models.prior.in_context import EXTRA, InContextPrior
from prefprior.models.scale import Standardize
from prefprior.space import Space

CONFIG = "config.json"
COPY = "Copy it again, or give another prior.pretrained."
WEIGHTS = ("diffusion_pytorch_model.safetensors", "model.safetensors")
# Parts of the published class that ours does not have; the published priors do not use them.
UNSUPPORTED = {"embedding_proj_norm_type": None, "norm_in_type": None, "encoder_hid_proj_type": "linear",
               "added_emb_type": "prd", "time_embed_act_fn": "silu"}  # fmt: skip
NAMED = 12  # so many weights are told by name


@dataclass(frozen=True)
class Transfer:
    """Which weights came from where."""

    used: list[str]
    refused: dict[str, str]  # name -> why
    new: list[str]  # ours, not in the published file: they start where they change nothing, and learn

    def __str__(self) -> str:
        lines = [f"{len(self.used)} weights used, {len(self.refused)} refused, {len(self.new)} new"]
        lines += _some([f"  refused {name}: {why}" for name, why in self.refused.items()])
        return "\n".join([*lines, *_some([f"  new {name}" for name in self.new])])


def from_published(
    *,
    space: Space,
    pretrained: str,
    scale: Standardize | None = None,
    subfolder: str | None = None,
    revision: str | None = None,
    trained_in: str | None = None,
    text: bool = False,
    dropout: float = 0.0,
) -> InContextPrior:
    """An in-context prior that starts from a folder, or from a repository of the Hugging Face hub.

    `trained_in` names the space of the weights where it is known: others may have as many dimensions. The prior
    records its sizes, not where it came from: its checkpoint needs neither folder nor network.
    """
    if scale is not None and type(scale) is not Standardize:
        raise ValueError("published weights include the scale they were trained in: leave scale=... out")
    if trained_in is not None and trained_in != space.name:
        raise ValueError(
            f"the weights of {pretrained} were trained in the space {trained_in}, but the data are in "
            f"{space.name}. Embed them with that encoder (python embed.py encoder=...), or train from "
            "random weights: prior=in_context."
        )
    folder = _found(pretrained, subfolder, revision)
    prior, transfer = from_prior_transformer(folder, space, text=text, dropout=dropout)
    prior.origin = f"{pretrained}: {transfer}"
    return prior


def from_prior_transformer(
    folder: str | Path, space: Space, *, text: bool = False, dropout: float = 0.0
) -> tuple[InContextPrior, Transfer]:
    """An in-context prior that starts from a folder with a `PriorTransformer`'s config.json and safetensors.

    Such weights hold their own scale of the space (`clip_mean`, `clip_std`); the prior takes it over from them.
    """
    folder = Path(folder)
    config = read_json(_present(folder, CONFIG), COPY)
    sizes = Fields(config, folder / CONFIG, COPY)
    heads, depth, context = (sizes.whole(key, 1) for key in ("num_attention_heads", "num_layers", "num_embeddings"))
    width, dim = heads * sizes.whole("attention_head_dim", 1), sizes.whole("embedding_dim", 1)
    plain = {"time_embed_dim": width, "embedding_proj_dim": dim, "clip_embed_dim": dim}
    for key, supported in {**UNSUPPORTED, **plain}.items():
        given = config.get(key, supported)
        if given != supported and not (given is None and key in plain):
            raise ValueError(f"{folder}: {key} is {given!r}; only {supported!r} is supported")
    if dim != space.dim:
        raise ValueError(
            f"{folder} is a prior of {dim} dimensions, but the space {space.name} has {space.dim}. Embed "
            "with the encoder it was trained with."
        )
    path = require_file(_present(folder, *WEIGHTS))
    try:
        weights = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a complete safetensors file ({error}). {COPY}") from error
    time = any(name.startswith("time_embedding.") for name in weights)
    extra = config.get("additional_embeddings", EXTRA + time)
    if extra != EXTRA + time:
        raise ValueError(
            f"{folder}: additional_embeddings is {extra}, but the weights need {EXTRA + time} "
            f"({'with' if time else 'without'} time conditioning). Do config.json and weights belong to "
            "the same model?"
        )
    prior = InContextPrior(
        space=_with_scale_of(weights, space, time),
        width=width,
        depth=depth,
        heads=heads,
        context=context,
        time=time,
        text=text,
        dropout=dropout,
    )
    return prior, transfer(weights, prior)


def transfer(weights: dict[str, Tensor], prior: InContextPrior) -> Transfer:
    """Copies what fits into a prior, and says what did not."""
    own = prior.state_dict()
    used: list[str] = []
    refused: dict[str, str] = {}
    with torch.no_grad():
        for name, value in weights.items():
            ours = own.get(f"network.{name}")
            if name in ("clip_mean", "clip_std"):
                used.append(name)  # in the space's statistics
            elif ours is None:
                refused[name] = "this model has no such weight"
            elif ours.shape != value.shape:
                refused[name] = f"has shape {tuple(value.shape)}, but {tuple(ours.shape)} in this model"
            else:
                ours.copy_(value)
                used.append(name)
    return Transfer(used, refused, sorted(n for n in own if n.removeprefix("network.") not in set(used)))


def _with_scale_of(weights: dict[str, Tensor], space: Space, time: bool) -> Space:
    mean, std = weights.get("clip_mean"), weights.get("clip_std")
    if not time:
        # ECLIPSE's pipeline hands the network's output to the decoder as it is: its scale is that of raw projections.
        return replace(space, mean_D=np.zeros_like(space.mean_D), std_D=np.ones_like(space.std_D))
    if mean is None or std is None or not bool((std > 0).all()):
        # A PriorTransformer made from scratch has std 0 there: its weights were never trained with a scale.
        return space
    return replace(space, mean_D=mean.float().flatten().numpy(), std_D=std.float().flatten().numpy())


def _found(pretrained: str, subfolder: str | None, revision: str | None) -> Path:
    """The folder that holds the weights: given, or fetched from the hub."""
    folder = Path(pretrained)
    if not folder.is_dir():
        wanted = [f"{subfolder}/{name}" if subfolder else name for name in (CONFIG, *WEIGHTS)]
        try:
            with hub_or_cache():
                folder = Path(snapshot_download(pretrained, revision=revision, allow_patterns=wanted))
        except (HFValidationError, HfHubHTTPError, OSError) as error:
            raise ValueError(
                f"{pretrained} is not a folder here, and the Hugging Face Hub could not be reached for a "
                f"repository of that name ({type(error).__name__}). On a machine with a network:\n  hf "
                f"download {pretrained} {' '.join(wanted[:2])} --local-dir FOLDER\nThen, on this machine, "
                "give the same command with prior.pretrained=FOLDER"
            ) from error
    # A folder may be that of the whole pipeline, or that of the prior alone.
    inner = folder / subfolder if subfolder else folder
    return inner if (inner / CONFIG).is_file() else folder


def _present(folder: Path, *names: str) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise ValueError(
        f"{folder} contains no {' or '.join(names)}. It must be the `prior` folder of "
        "kandinsky-community/kandinsky-2-2-prior, or the folder of another PriorTransformer, with "
        "safetensors weights."
    )


def _some(lines: list[str]) -> list[str]:
    rest = len(lines) - NAMED
    return [*lines[:NAMED], *([f"  and {rest} more"] if rest > 0 else [])]
