"""Tiny priors in the two published layouts, saved as the published ones are."""

from pathlib import Path
from typing import Any

import torch
from diffusers import PriorTransformer
from torch import nn


class _Nothing:
    """What diffusers' forward takes for the time's token, where there is to be none."""

    def __init__(self, batch: int, width: int) -> None:
        self.shape = (batch, 0, width)

    def __getitem__(self, _: Any) -> torch.Tensor:
        return torch.zeros(self.shape)


class _NoTime(nn.Module):
    def forward(self, features: torch.Tensor) -> _Nothing:
        return _Nothing(*features.shape)


def tiny_published(folder: Path, dim: int, *, time: bool = True, context: int = 7) -> PriorTransformer:
    """A `PriorTransformer` with random weights in every place; without `time` as in ECLIPSE's own class."""
    torch.manual_seed(0)
    model = PriorTransformer(
        num_attention_heads=2, attention_head_dim=8, num_layers=2, embedding_dim=dim, num_embeddings=context,
        additional_embeddings=4 if time else 3,
    ).eval()  # fmt: skip
    if not time:
        model.time_embedding = _NoTime()
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(std=0.3)
        model.clip_std.uniform_(0.5, 2)
    model.save_pretrained(folder)
    return model
