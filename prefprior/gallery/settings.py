"""What the pictures of a gallery are made with: the settings that manifests hold, spelled here and nowhere else."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from inspect import signature
from typing import Any, get_args, get_type_hints

from prefprior.data.embedding.text_axes import read_strengths
from prefprior.errors import nearest
from prefprior.inference.selection import candidates_per_sample
from prefprior.models.diffusion.sampler import Sampler
from prefprior.models.recorded import Recorded, as_node, from_node
from prefprior.nodes import Loadables

MOST_CANDIDATES = 100_000  # of one user: half a gigabyte of embeddings of 1,280 dimensions


@dataclass(frozen=True, kw_only=True)
class GallerySettings:
    """All that users of a gallery have in common; what differs between them follows from their names and the seed."""

    checkpoint: str  # its path, or the epoch of a gallery made in training
    checkpoint_sha256: str | None  # None: the weights are kept nowhere
    space: str
    space_fingerprint: str
    decoder: str  # identity: model and version
    sampler: Sampler
    safety: str = "none"  # identity of the filter
    n: int = 8  # pictures a user
    seed: int = 0
    history: int = 16  # ratings at most that the prior sees of a user of a data set
    copy_threshold: float = 0.95  # similarity to a rated picture from which on a candidate is a near-copy
    negative: bool = False  # also sample what the user would hate, for the decoder to move away from
    nearest: int = 3  # real pictures shown beside each made one
    prompt: str | None = None
    prompt_weight: float | None = None  # in the choice among candidates; None where the prior is conditioned on it
    axes: dict[str, float] | None = None  # axes that words name, and how far pictures are moved along each
    edit: str | None = None  # SHA-256 of a picture that is edited for each user
    edit_strength: float = 0.0  # of the strongest edit
    repaint: float | None = None  # noise of img2img; None where the decoder starts from noise alone
    command: dict[str, Any] | None = None  # the configuration of `python sample.py`, without paths; None in training

    def __post_init__(self) -> None:
        if self.command is not None and not re.fullmatch(r"[0-9a-f]{64}", self.checkpoint_sha256 or ""):
            raise ValueError(f"checkpoint_sha256 must be a SHA-256 in hexadecimal, got {self.checkpoint_sha256!r}")
        if self.n < 1:
            raise ValueError(f"n must be at least 1, got {self.n}")
        if self.history < 1:
            raise ValueError(
                f"history must be at least 1, because sampling needs at least one rating; got {self.history}"
            )
        if (sampled := self.n * self.candidates) > MOST_CANDIDATES:
            raise ValueError(
                f"n={self.n} pictures with {self.candidates} candidates each are {sampled:,} embeddings per "
                f"user, more than {MOST_CANDIDATES:,}. Lower n or candidates, or make galleries with several "
                "seeds."
            )
        if self.nearest < 0:
            raise ValueError(f"nearest must be at least 0, got {self.nearest}")
        if not 0 < self.copy_threshold <= 1:
            raise ValueError(f"copy_threshold must be in (0, 1], got {self.copy_threshold}")
        if not 0 <= self.edit_strength <= 1:
            raise ValueError(f"edit_strength must be between 0 and 1, got {self.edit_strength}")
        if self.repaint is not None and not 0 < self.repaint <= 1:
            raise ValueError(f"repaint must be in (0, 1], got {self.repaint}")
        if self.axes is not None:
            read_strengths(self.axes)
        if self.prompt_weight is not None and not 0 <= self.prompt_weight <= 1:
            raise ValueError(f"prompt_weight must be between 0 and 1, got {self.prompt_weight}")

    @property
    def prompt_guides(self) -> bool:
        """Whether the prior is conditioned on the prompt, rather than candidates chosen by it."""
        return self.prompt is not None and self.prompt_weight is None

    @property
    def candidates(self) -> int:
        """How many candidates there are for each picture."""
        return candidates_per_sample(
            self.sampler, chosen_by_text=bool(self.prompt_weight), steered=self.axes is not None
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it; all of the sampler's settings are written down, also those that are defaults."""
        return {field.name: getattr(self, field.name) for field in fields(self)} | {"sampler": _explicit(self.sampler)}

    @classmethod
    def from_dict(cls, value: Any, where: str = "settings", trust: Sequence[str] = ()) -> "GallerySettings":
        """The inverse of `to_dict`, for untrusted files: plain values of the right type.

        `trust` names packages beside prefprior whose solvers may be named.
        """
        if not isinstance(value, Mapping):
            raise ValueError(f"{where} is not a JSON object")
        missing = [f.name for f in fields(cls) if f.name not in value]
        if missing:
            raise ValueError(f"{where} lacks {', '.join(missing)}")
        plain = {key: part for key, part in value.items() if key not in ("sampler", "command", "axes")}
        if found := wrong_values(cls, plain, where):
            raise ValueError("\n".join(found))
        if not isinstance(value["command"], dict | None):
            raise ValueError(f"{where}.command must be a JSON object or null")
        find = Loadables(["prefprior", *trust])
        try:
            sampler = from_node(value["sampler"], Sampler, find, f"{where}.sampler")
            return cls(**plain, sampler=sampler, command=value["command"], axes=value["axes"])
        except ValueError as error:
            raise ValueError(str(error) if where in str(error) else f"{where}: {error}") from None


def wrong_values(kind: type, values: Mapping[str, Any], where: str) -> list[str]:
    """What is wrong with values that a file gives for the fields of a dataclass: unknown names and other types."""
    hints = get_type_hints(kind)
    found = [f"{where}.{name} is unknown{nearest(str(name), hints)}" for name in values if name not in hints]
    for name, value in values.items():
        options = get_args(hints.get(name, Any)) or (hints.get(name, Any),)
        fits = Any in options or type(value) in options or (type(value) is int and float in options)
        if not fits:
            wanted = " or ".join("null" if option is type(None) else option.__name__ for option in options)
            found.append(f"{where}.{name} is {value!r}; it must be {wanted}")
    return found


def sampling_in_words(sampler: Sampler, *, with_text: bool) -> str:
    """Steps, solver and guidance in one line."""
    guidance = sampler.guidance
    words = f"{sampler.steps} steps ({type(sampler.solver).__name__}), guidance by history {guidance.history:g}"
    return f"{words}, by rating {guidance.rating:g}" + (f", by text {guidance.text:g}" if with_text else "")


def _explicit(part: Recorded) -> dict[str, Any]:
    """The node of a recorded object with its defaults written down, so that other defaults change no old gallery."""
    names = [name for name in signature(type(part)).parameters if hasattr(part, name)]
    values = {name: getattr(part, name) for name in names}
    plain = {k: _explicit(value) if isinstance(value, Recorded) else as_node(value) for k, value in values.items()}
    return part.config | plain
