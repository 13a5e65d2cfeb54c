"""An embedding space: which encoder, how many dimensions, and how its vectors are scaled for a network.

Shapes: D dimension of the space; `...` any leading shape.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from prefprior.fields import Fields

Array = TypeVar("Array", np.ndarray, Tensor)


@dataclass(frozen=True, eq=False)
class Space:
    """Identity and statistics of an embedding space; everything stored or exchanged carries one.

    Vectors outside a network are *raw* projections (what decoders expect, with their norms). A network sees
    `(raw - mean) / std`: unit-norm CLIP vectors have entries around 1/sqrt(D), far below the unit variance that
    Gaussian noise assumes.
    """

    name: str
    mean_D: np.ndarray
    std_D: np.ndarray
    norm: float  # median length of a raw projection: the shell on which real pictures lie

    def __post_init__(self) -> None:
        if self.mean_D.shape != self.std_D.shape or self.mean_D.ndim != 1:
            raise ValueError(f"space {self.name}: mean has shape {self.mean_D.shape}, std {self.std_D.shape}")
        if not (np.isfinite(self.mean_D).all() and np.isfinite(self.std_D).all() and (self.std_D > 0).all()):
            raise ValueError(f"space {self.name}: statistics must be finite, and every std above 0")
        if not self.norm > 0:
            raise ValueError(f"space {self.name}: norm must be above 0, got {self.norm}")

    @property
    def dim(self) -> int:
        """Number of dimensions."""
        return int(self.mean_D.shape[0])

    @classmethod
    def measure(cls, name: str, raw_ND: np.ndarray) -> "Space":
        """Statistics of raw projections, in float64; a dimension that never varies keeps scale 1."""
        if raw_ND.ndim != 2 or len(raw_ND) == 0:
            raise ValueError(f"space {name}: statistics need at least one vector, got shape {raw_ND.shape}")
        # Chunked: the table may be memory-mapped and far larger than memory.
        total, squares, norms = np.zeros(raw_ND.shape[1]), np.zeros(raw_ND.shape[1]), []
        for start in range(0, len(raw_ND), 65536):
            chunk = np.asarray(raw_ND[start : start + 65536], dtype=np.float64)
            total += chunk.sum(0)
            squares += (chunk**2).sum(0)
            norms.append(np.linalg.norm(chunk, axis=1))
        mean = total / len(raw_ND)
        std = np.sqrt(np.maximum(squares / len(raw_ND) - mean**2, 0.0))
        std[std < 1e-6 * max(float(std.max()), 1e-12)] = 1.0
        norm = float(np.median(np.concatenate(norms)))
        return cls(name, mean.astype(np.float32), std.astype(np.float32), norm)

    @classmethod
    def from_dict(cls, value: Any) -> "Space":
        """The inverse of `to_dict`."""
        return cls.from_fields(Fields(value, "the description of a space", remedy=""))

    @classmethod
    def from_fields(cls, fields: Fields) -> "Space":
        """The same from an untrusted file."""
        name, norm = fields.text("name"), fields.number("norm")
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused as such
            mean, std = (np.asarray(fields.numbers(key)).astype(np.float32) for key in ("mean", "std"))
        try:
            return cls(name, mean, std, norm)
        except ValueError as error:
            fields.fail(str(error))

    def to_dict(self) -> dict[str, Any]:
        """What a manifest or a checkpoint stores."""
        return {"name": self.name, "norm": self.norm, "mean": self.mean_D.tolist(), "std": self.std_D.tolist()}

    def fingerprint(self) -> str:
        """A short hash of name and statistics."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:16]

    def require_same(self, other: "Space", mine: str, theirs: str) -> None:
        """Raises unless both are the same encoder's space; `mine` and `theirs` say who brings which."""
        if self.name != other.name or self.dim != other.dim:
            raise ValueError(
                f"{mine} uses the space {self.name} ({self.dim} dimensions), but {theirs} uses {other.name} "
                f"({other.dim} dimensions). Embed both with one encoder, or choose two of the same space."
            )

    def to_model(self, raw: Array) -> Array:
        """Raw projections -> what a network sees: zero mean, unit variance per dimension."""
        mean, std = self._stats_like(raw)
        return (raw - mean) / std

    def from_model(self, scaled: Array) -> Array:
        """The inverse of `to_model`."""
        mean, std = self._stats_like(scaled)
        return scaled * std + mean

    def directions(self, raw: Array) -> Array:
        """Unit vectors in standardised coordinates, in float32; cosines are taken of these.

        Raw CLIP vectors share a large common part, beside which all pictures look alike.
        """
        if isinstance(raw, Tensor):
            return torch.nn.functional.normalize(self.to_model(raw.float()), dim=-1)
        scaled = self.to_model(np.asarray(raw, dtype=np.float32))
        return scaled / np.maximum(np.linalg.norm(scaled, axis=-1, keepdims=True), 1e-12)

    def onto_shell(self, raw: Array) -> Array:
        """Same direction, the median length of real pictures."""
        if isinstance(raw, Tensor):
            return torch.nn.functional.normalize(raw, dim=-1) * self.norm
        return raw / np.maximum(np.linalg.norm(raw, axis=-1, keepdims=True), 1e-12) * self.norm

    def _stats_like(self, value: Array) -> tuple[Array, Array]:
        if isinstance(value, Tensor):
            return (
                torch.as_tensor(self.mean_D, dtype=value.dtype, device=value.device),
                torch.as_tensor(self.std_D, dtype=value.dtype, device=value.device),
            )
        return self.mean_D, self.std_D
