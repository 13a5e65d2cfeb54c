"""Moves embeddings along axes that words name, by standard deviations of real pictures.

A difference d of two texts says how to read pictures, not how they vary: text and image embeddings lie apart (Liang et
al. 2022, arXiv:2203.02053), and a step along d itself leaves the region where pictures are. So pictures are moved by
the regression of pictures on their own readings: with the reading s = d . u of a picture's direction u,

    u' = u + cov(u, s) cov(s)^-1 delta

is the smallest change, measured by how pictures vary (Mahalanobis), that raises the readings by delta. What does not
vary with the readings among real pictures stays where it is. In linear probes the same vectors are called patterns, as
opposed to filters (Haufe et al. 2014, doi:10.1016/j.neuroimage.2013.10.067).

Shapes: P real pictures, K axes, D dimension; `...` any leading shape.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from prefprior.data.embedding.text_axes import TextAxes, TextEncoder, text_axes

CORRECTIONS = 24  # of the step, since directions are put back onto the sphere; where the axis is a small part of them,
# as in any CLIP, four are enough
LEAST_APART = 1e-3  # smallest eigenvalue of the readings' correlations: below it one axis is a mixture of the others


class Steering:
    """Axes, how far to go along each, and how pictures vary along them."""

    def __init__(self, axes: TextAxes, strengths: Sequence[float], directions_PD: Tensor) -> None:
        """`strengths` in standard deviations of real pictures, of which `directions_PD` are unit embeddings."""
        if len(directions_PD) < 2:
            raise ValueError(
                "axes need embeddings of real pictures, and this checkpoint has none: train the prior again"
            )
        axis_KD, unit_PD = axes.direction_KD.to(torch.float64), directions_PD.cpu().to(torch.float64)
        if axis_KD.shape[1] != unit_PD.shape[1]:
            raise ValueError(
                f"axes of {axis_KD.shape[1]} dimensions cannot move embeddings of {unit_PD.shape[1]} dimensions"
            )
        self.names = axes.names
        self.strength_K = torch.tensor(list(strengths), dtype=torch.float32)
        reading_PK = unit_PD @ axis_KD.T
        mean_K, std_K = reading_PK.mean(0), reading_PK.std(0, correction=0)
        standard_PK = (reading_PK - mean_K) / std_K
        correlation_KK = standard_PK.T @ standard_PK / len(unit_PD)
        if torch.linalg.eigvalsh(correlation_KK)[0] < LEAST_APART:
            raise ValueError(
                f"the axes {', '.join(axes.names)} are not independent of each other: leave one of them out, or give "
                "one strength for both ends of an axis (darker: -0.5 is lighter: 0.5)"
            )
        pattern_KD = standard_PK.T @ (unit_PD - unit_PD.mean(0)) / len(unit_PD)
        self._step_KD = torch.linalg.solve(correlation_KK, pattern_KD).float()
        self._read_KD, self._zero_K = (axis_KD / std_K[:, None]).float(), (mean_K / std_K).float()

    @classmethod
    def named(cls, strengths: Mapping[str, float], encoder: TextEncoder, directions_PD: Tensor) -> "Steering":
        """Along axes that the text tower of the space's CLIP reads, by name."""
        return cls(text_axes(list(strengths), encoder), list(strengths.values()), directions_PD)

    def positions(self, raw: Tensor) -> Tensor:
        """(..., K) where pictures stand: 0 is the mean of real pictures, 1 a standard deviation."""
        return normalize(raw, dim=-1) @ self._read_KD.to(raw).T - self._zero_K.to(raw)

    def moved(self, raw: Tensor, share: Tensor | float = 1.0) -> Tensor:
        """Raw embeddings whose positions are higher by `share` of the strengths, and as long as before."""
        before, unit = self.positions(raw), normalize(raw, dim=-1)
        wanted = before + torch.as_tensor(share).to(raw)[..., None] * self.strength_K.to(raw)
        step = wanted - before
        for _ in range(CORRECTIONS):
            there = unit + step @ self._step_KD.to(raw)
            step = step + (wanted - self.positions(there)) * there.norm(dim=-1, keepdim=True)
        return normalize(unit + step @ self._step_KD.to(raw), dim=-1) * raw.norm(dim=-1, keepdim=True)
