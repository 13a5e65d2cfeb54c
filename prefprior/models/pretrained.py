"""Published diffusion priors as a start: weights of a diffusers `PriorTransformer` into an in-context prior.

What was used, what was refused and what is new is told, never silent.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from prefprior.files import read_json
from prefprior.models.in_context import EXTRA, InContextPrior
from prefprior.space import Space

WEIGHTS = ("diffusion_pytorch_model.safetensors", "model.safetensors")
# Parts of the published class that ours does not have; the published priors do not use them.
UNSUPPORTED = {"embedding_proj_norm_type": None, "norm_in_type": None, "encoder_hid_proj_type": "linear",
               "added_emb_type": "prd", "additional_embeddings": EXTRA}  # fmt: skip


@dataclass(frozen=True)
class Transfer:
    """Which weights came from where."""

    used: list[str]
    refused: dict[str, str]  # name -> why
    new: list[str]  # ours, not in the published file: they start where they change nothing, and learn

    def __str__(self) -> str:
        lines = [f"{len(self.used)} weights used, {len(self.refused)} refused, {len(self.new)} new"]
        lines += [f"  refused {name}: {why}" for name, why in self.refused.items()]
        return "\n".join([*lines, *(f"  new {name}" for name in self.new)])


def from_prior_transformer(folder: str | Path, space: Space) -> tuple[InContextPrior, Transfer]:
    """An in-context prior that starts from a folder with a `PriorTransformer`'s config.json and safetensors.

    Such weights hold their own scale of the space (`clip_mean`, `clip_std`); the prior takes it over from them.
    """
    folder = Path(folder)
    config = read_json(_present(folder, "config.json"))
    for key, supported in UNSUPPORTED.items():
        if config.get(key, supported) != supported:
            raise ValueError(f"{folder}: {key} is {config[key]!r}; only {supported!r} can be taken over")
    if config["embedding_dim"] != space.dim:
        raise ValueError(
            f"{folder} is a prior of {config['embedding_dim']} dimensions, but the space {space.name} has {space.dim}. "
            "Embed with the encoder it was trained with."
        )
    weights = load_file(_present(folder, *WEIGHTS))
    prior = InContextPrior(
        space=_with_scale_of(weights, space),
        width=config["num_attention_heads"] * config["attention_head_dim"],
        depth=config["num_layers"],
        heads=config["num_attention_heads"],
        context=config["num_embeddings"],
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
                refused[name] = "no such weight here"
            elif ours.shape != value.shape:
                refused[name] = f"is {tuple(value.shape)}, {tuple(ours.shape)} here"
            else:
                ours.copy_(value)
                used.append(name)
    return Transfer(used, refused, sorted(n for n in own if n.removeprefix("network.") not in set(used)))


def _with_scale_of(weights: dict[str, Tensor], space: Space) -> Space:
    mean, std = weights.get("clip_mean"), weights.get("clip_std")
    if mean is None or std is None or not bool((std > 0).all()):
        # A PriorTransformer made from scratch has std 0 there: its weights were never trained with a scale.
        return space
    return replace(space, mean_D=mean.float().flatten().numpy(), std_D=std.float().flatten().numpy())


def _present(folder: Path, *names: str) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise ValueError(
        f"{folder} holds no {' or '.join(names)}. It should be the `prior` folder of kandinsky-community/"
        "kandinsky-2-2-prior, or the folder of another PriorTransformer, with safetensors weights."
    )
