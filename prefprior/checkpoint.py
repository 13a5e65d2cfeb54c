"""One file for a trained model: weights, how to build it, its space, and facts about its training.

A safetensors file, because loading one runs no code; its metadata holds JSON. It needs no other file and no `conf/`.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model, save_model

from prefprior.files import written_whole
from prefprior.models.diffusion.sampler import Sampler
from prefprior.models.model import PreferenceModel
from prefprior.models.objectives.objective import Objective
from prefprior.models.recorded import Recorded, from_node
from prefprior.nodes import Loadables
from prefprior.space import Space

FORMAT = "prefprior-4"  # 3 had the retriever's towers inside the generator
LARGEST = 2**24  # bytes of metadata: a space of 1280 dimensions takes 60 kB


class ShapeError(ValueError):
    """Weights of other sizes than the config of the same file asks for."""


class Checkpoint:
    """What a file holds: a model ready for use, its objective, how it samples, and facts about its training."""

    def __init__(self, *, model: PreferenceModel, objective: Any, sampler: Sampler, facts: dict[str, Any]) -> None:
        self.model, self.sampler, self.facts = model, sampler, facts
        self.objective: Objective = objective


def save(
    path: str | Path,
    *,
    model: PreferenceModel,
    objective: Objective,
    sampler: Sampler,
    facts: dict[str, Any] | None = None,
) -> None:
    """Writes the whole file or nothing. `facts` is anything worth keeping that JSON can hold."""
    description = {
        "model": model.config,
        "objective": objective.config,
        "sampler": sampler.config,
        "space": model.prior.space.to_dict(),
        "facts": facts or {},
    }
    with written_whole(path) as part:
        save_model(model, str(part), metadata={"format": FORMAT, "prefprior": json.dumps(description)})


def load(path: str | Path, device: str | torch.device = "cpu", *, trust: Sequence[str] = ()) -> Checkpoint:
    """What was saved, on a device; says what is wrong with a file that is no checkpoint.

    The file may be somebody else's: it may only name classes of prefprior, and of the packages that `trust` adds, which
    derive from `Loadable`.
    """
    description, find = describe(path), Loadables(["prefprior.models", *trust])
    try:
        space = Space.from_dict(description["space"])
        with torch.device("meta"):  # sizes are compared with the file's before any memory is taken for them
            planned = PreferenceModel.from_config(description["model"], space, find)
        _require_shapes(planned, path)
        model = PreferenceModel.from_config(description["model"], space, find)
        objective = from_node(description["objective"], Recorded, find, "objective")
        sampler = from_node(description["sampler"], Sampler, find, "sampler")
        facts = dict(description["facts"])
        if not (callable(getattr(objective, "loss", None)) and callable(getattr(objective, "denoise", None))):
            raise ValueError(f"objective is no objective: {type(objective).__name__}")
    except ShapeError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError, ArithmeticError) as error:
        what = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{path} does not describe a model of this version: {what}") from error
    try:
        load_model(model, str(path))
    except RuntimeError as error:
        raise ValueError(
            f"{path} does not fit its own config: {_first_line(error)}. If another version of this program wrote it, "
            "train again."
        ) from error
    return Checkpoint(model=model.to(device).eval(), objective=objective, sampler=sampler, facts=facts)


def _require_shapes(model: PreferenceModel, path: str | Path) -> None:
    """Raises unless the file holds the model's weights; learned tables may be of any length."""
    with safe_open(path, framework="pt") as file:
        found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 (not a dict)
    for name, value in model.state_dict().items():
        shape = found.get(name)
        if shape is not None and shape != tuple(value.shape) and value.numel():
            raise ShapeError(f"{path} does not fit its own config: {name} is {shape}, {tuple(value.shape)} there")
    if len(model.state_dict()) < len(found):
        raise ShapeError(f"{path} does not fit its own config: {len(found)} weights, {len(model.state_dict())} there")


def describe(path: str | Path) -> dict[str, Any]:
    """What a checkpoint says about itself, without its weights."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no checkpoint {path}. Make one with: python train.py")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is damaged or no checkpoint ({error}). Make it again, or choose another.") from error
    found = str(metadata.get("format"))
    if found.startswith("prefprior-") and found != FORMAT:
        raise ValueError(
            f"{path} has the checkpoint format {found}, this version reads {FORMAT}. Train again, or use the version "
            "of prefprior that wrote it."
        )
    if found != FORMAT:
        raise ValueError(
            f"{path} is not a prefprior checkpoint: its format is {metadata.get('format')!r}, not {FORMAT!r}."
        )
    text = metadata.get("prefprior", "")
    if len(text) > LARGEST:
        raise ValueError(f"{path} has {len(text):,} bytes of metadata; a checkpoint has at most {LARGEST:,}.")
    try:
        description = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} has metadata that is not valid JSON ({error}). Make it again.") from error
    if not isinstance(description, dict) or not isinstance(description.get("facts", {}), dict):
        raise ValueError(f"{path} does not describe a model: its metadata is no JSON object of the known form.")
    return description


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:300]
