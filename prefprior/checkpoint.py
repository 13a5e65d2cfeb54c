"""One file for a trained model: weights, how to build it, its space, and facts about its training.

A safetensors file, because loading one runs no code; its metadata holds JSON. It needs no other file and no `conf/`. It
carries its own SHA-256, which is compared when it is loaded: against damage, not against forgery.
"""

import hashlib
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model, save_model

from prefprior.errors import sentence
from prefprior.files import parse_json, require_file, written_whole
from prefprior.models.diffusion.sampler import Sampler
from prefprior.models.model import PreferenceModel
from prefprior.models.objectives.objective import Objective
from prefprior.models.recorded import Recorded, from_node
from prefprior.nodes import Loadables
from prefprior.space import Space

# 7 could not read choices; 6 had no collaborative head; 5 no rating head and one length for all samples; 4 no digest,
# and the drawing rule inside the data module; 3 the towers inside the generator.
FORMAT = "prefprior-8"
NO_DIGEST = "0" * 64  # stands where the digest will, while it is computed
AGAIN = "Make it again, or choose another checkpoint."
OTHER = "Did another version write it? Train again."
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
    metadata = {"format": FORMAT, "prefprior": json.dumps(description), "sha256": NO_DIGEST}
    with written_whole(path, SafetensorError) as part:
        save_model(model, str(part), metadata=metadata)
        seal(part)


def seal(path: str | Path) -> None:
    """Sorts a file's metadata and puts its digest where `NO_DIGEST` stands in them."""
    _sort_metadata(path)
    place, _, digest = _digests(Path(path))
    with open(path, "r+b") as file:
        file.seek(place)
        file.write(digest.encode())


def _sort_metadata(path: str | Path) -> None:
    """safetensors writes metadata in the order of a hash table, which differs between processes: equal models would
    be files of different bytes."""
    with open(path, "r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        written = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        assert len(written) <= length, "the same header, in another order"
        file.seek(8)
        file.write(written.ljust(length))  # the format allows for spaces at the end


def load(path: str | Path, device: str | torch.device = "cpu", *, trust: Sequence[str] = ()) -> Checkpoint:
    """What was saved, on a device; says what is wrong with a file that is no checkpoint.

    The file may be untrusted: it may only name classes of prefprior, and of the packages that `trust` adds, which
        derive from `Loadable`.
    """
    description, find = describe(path), Loadables(["prefprior.models", *trust])
    _require_undamaged(Path(path))
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
            raise ValueError(f"objective is not an objective: {type(objective).__name__}")
    except ShapeError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError, ArithmeticError) as error:
        what = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{path} does not describe a model of this version: {sentence(what)} {AGAIN}") from error
    try:
        load_model(model, str(path))
    except RuntimeError as error:
        raise ValueError(
            f"{path} does not fit its own configuration: {_first_line(error)}. If "
            "another version of prefprior wrote it, train again."
        ) from error
    bad = [name for name, value in model.state_dict().items() if not bool(value.isfinite().all())]
    if bad:
        raise ValueError(
            f"{path}: the weights {bad[0]} contain NaN or infinity ({len(bad)} of "
            f"{len(model.state_dict())} weight tensors do). Training diverged: train again, or choose "
            "another checkpoint."
        )
    return Checkpoint(model=model.to(device).eval(), objective=objective, sampler=sampler, facts=facts)


def warm_start(model: PreferenceModel, path: str | Path) -> None:
    """Copies a checkpoint's trained weights into a model, or none: what does not match is named.

    Weights alone: a space's statistics and what `prepare` learned of the data are those of the model.
    """
    Space.from_dict(describe(path)["space"]).require_same(model.prior.space, str(path), "the data")
    own = dict(model.named_parameters())
    with safe_open(path, framework="pt") as file:
        found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 (not a dict)
        wrong = [f"{name} is missing in the file" for name in own if name not in found]
        wrong += [f"{name} is not part of this model" for name in found if name not in model.state_dict()]
        for name, value in own.items():
            # A number may be trained as a vector of one.
            if name in found and found[name] != tuple(value.shape) and max(math.prod(found[name]), value.numel()) > 1:
                wrong.append(
                    f"{name} has shape {_size(found[name])} in the file and {_size(value.shape)} in this model"
                )
        if wrong:
            more = [f"and {len(wrong) - 8} more"] if len(wrong) > 8 else []
            raise ValueError(
                f"the weights of {path} do not fit this model:\n"
                + "\n".join(f"  - {line}" for line in [*wrong[:8], *more])
                + "\nChoose prior=... and retriever=... as in that run; its config.yaml lists them."
            )
        with torch.no_grad():
            for name, value in own.items():
                value.copy_(file.get_tensor(name).view_as(value))


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "a number"


def _require_shapes(model: PreferenceModel, path: str | Path) -> None:
    """Raises unless the file holds the model's weights; learned tables may be of any length."""
    with safe_open(path, framework="pt") as file:
        found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 (not a dict)
    for name, value in model.state_dict().items():
        shape = found.get(name)
        if shape is not None and shape != tuple(value.shape) and value.numel():
            raise ShapeError(
                f"{path} does not fit its own configuration: {name} has shape {shape} in the file "
                f"and {tuple(value.shape)} in the model. {OTHER}"
            )
    if len(model.state_dict()) < len(found):
        raise ShapeError(
            f"{path} does not fit its own configuration: it has {len(found)} weights, the configured "
            f"model has {len(model.state_dict())}. {OTHER}"
        )


def describe(path: str | Path) -> dict[str, Any]:
    """What a checkpoint says about itself, without its weights."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no checkpoint {path}. Train one with: python train.py")
    require_file(path)  # a Git LFS pointer is named as one
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        if is_zipfile(path):  # how torch saves
            raise ValueError(
                f"{path} is a torch checkpoint. In checkpoints/ of a run folder, it is the file from which "
                "Lightning resumes training, not a model. Give the run folder (its last weights) or its "
                "best.safetensors. To finish an interrupted run: python train.py run_dir=FOLDER with the "
                "arguments of that run."
            ) from error
        raise ValueError(f"{path} is damaged or is not a checkpoint ({error}). {AGAIN}") from error
    found = str(metadata.get("format"))
    if found.startswith("prefprior-") and found != FORMAT:
        raise ValueError(
            f"{path} has the checkpoint format {found}, this version reads {FORMAT}. Train again, or use the version "
            "of prefprior that wrote it."
        )
    if found != FORMAT:
        raise ValueError(
            f"{path} is not a prefprior checkpoint: its format is {metadata.get('format')!r}, not {FORMAT!r}. {AGAIN}"
        )
    text = metadata.get("prefprior", "")
    if len(text) > LARGEST:
        raise ValueError(f"{path} has {len(text):,} bytes of metadata; a checkpoint has at most {LARGEST:,}. {AGAIN}")
    description = parse_json(text, f"{path}: its metadata", AGAIN)
    if not isinstance(description, dict) or not isinstance(description.get("facts"), dict):
        raise ValueError(f"{path} does not describe a model: its metadata is not a JSON object with facts. {AGAIN}")
    return description


def _require_undamaged(path: Path) -> None:
    _, written, found = _digests(path)
    if written != found:
        raise ValueError(
            f"{path} is damaged: its SHA-256 is {found[:12]}..., but {written[:12]}... was recorded when "
            "it was written. Copy it again, or train again."
        )


def _digests(path: Path) -> tuple[int, str, str]:
    """Where a file holds its digest, the one it holds, and the one it should: of all its bytes but those 64."""
    with open(path, "rb") as file:
        length = file.read(8)
        header = file.read(int.from_bytes(length, "little"))
        found = re.search(rb'"sha256":"([0-9a-f]{64})"', header)
        if found is None:
            raise ValueError(f"{path} is damaged: its metadata has no SHA-256. Copy it again, or train again.")
        start, end = found.span(1)
        digest = hashlib.sha256(length + header[:start] + NO_DIGEST.encode() + header[end:])
        hashlib.file_digest(file, lambda: digest)
    return 8 + start, found[1].decode(), digest.hexdigest()


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:300]
