"""One file for a trained prior: weights, how to build it, its space, and what is known of its training.

A safetensors file, because loading one runs no code; its metadata holds JSON. It needs no other file and no `conf/`.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from prefprior.files import written_whole
from prefprior.inference.predictor import PriorPredictor
from prefprior.models.diffusion.sampler import Sampling
from prefprior.models.objectives.objective import Objective
from prefprior.models.prior.network import Backbone
from prefprior.models.recorded import from_node
from prefprior.space import Space

FORMAT = "prefprior-3"  # 1 laid the keys and values of the history out otherwise; 2 had one set of scores


def save(
    path: str | Path, *, prior: Backbone, objective: Objective, sampling: Sampling, facts: dict[str, Any] | None = None
) -> None:
    """Writes the whole file or nothing. `facts` is anything worth keeping that JSON can hold."""
    description = {
        "prior": prior.config,
        "objective": objective.config,
        "sampling": sampling.config,
        "space": prior.space.to_dict(),
        "facts": facts or {},
    }
    weights = {name: value.detach().cpu().contiguous() for name, value in prior.state_dict().items()}
    with written_whole(path) as part:
        save_file(weights, part, metadata={"format": FORMAT, "prefprior": json.dumps(description)})


def load(path: str | Path, device: str | torch.device = "cpu") -> PriorPredictor:
    """The predictor that was saved, on a device; says what is wrong with a file that is none."""
    description = describe(path)
    try:
        space = Space.from_dict(description["space"])
        prior = from_node(description["prior"], space=space)
        objective, sampling = from_node(description["objective"]), from_node(description["sampling"])
        with safe_open(path, framework="pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} does not describe a prior of this version: {error}") from error
    expected = {name: tuple(value.shape) for name, value in prior.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    if expected != found:
        wrong = sorted(n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n))
        raise ValueError(
            f"{path} does not fit its own config: {', '.join(wrong[:3])}{' ...' if wrong[3:] else ''} are missing, "
            "unknown or of another shape. If another version of this program wrote it, train again."
        )
    prior.load_state_dict(weights)
    return PriorPredictor(prior=prior.to(device), objective=objective, sampling=sampling, facts=description["facts"])


def describe(path: str | Path) -> dict[str, Any]:
    """What a checkpoint says of itself, without its weights."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no checkpoint {path}. Make one with: python train.py")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is damaged or no checkpoint ({error}). Make it again, or choose another.") from error
    if str(metadata.get("format")).startswith("prefprior-") and metadata["format"] != FORMAT:
        raise ValueError(f"{path} was written by another version of this program ({metadata['format']}): train again.")
    if metadata.get("format") != FORMAT:
        raise ValueError(
            f"{path} is not a prefprior checkpoint: its format is {metadata.get('format')!r}, not {FORMAT!r}."
        )
    return json.loads(metadata["prefprior"])
