"""How well a picture suits a person, and everybody: the read-outs of `rank`.

Shapes: B users, N pictures, R read-outs, I interests, W width, Q score dimension, D dimension,
E features of a picture.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from prefprior.models.prior.conditions import EncodedHistory
from prefprior.models.retriever.item_features import Recognition
from prefprior.space import Space, SpaceScale


class Score(nn.Module):
    """Personal fit, the soft maximum over a person's interests in a learned item space, and general appeal.

    The soft maximum lets a picture suit one of a person's tastes without any regard to the others; appeal knows the
    embedding alone, so that what everybody likes and what this person likes can be told apart. With a `recognition`,
    both read what it knows of a picture.
    """

    def __init__(
        self, *, space: Space, width: int, dim: int, readouts: slice, recognition: Recognition | None = None
    ) -> None:
        """`readouts` are those of the encoder that say what a person looks for."""
        super().__init__()
        self.readouts = readouts
        self.scale = SpaceScale(space)
        self.interest = nn.Linear(width, dim, bias=False)
        self.interest_offset = nn.Linear(width, 1, bias=False)  # scores have no origin
        self.recognition = recognition
        self.item_tower: nn.Module
        self.appeal_tower: nn.Module
        if recognition is None:
            self.item_tower = nn.Sequential(nn.Linear(space.dim, width), nn.SiLU(), nn.Linear(width, dim))
            self.appeal_tower = nn.Sequential(nn.Linear(space.dim, width), nn.SiLU(), nn.Linear(width, 1, bias=False))
        else:
            self.item_tower = nn.Linear(recognition.width, dim)
            self.appeal_tower = nn.Linear(recognition.width, 1, bias=False)
        self.log_sharpness = nn.Parameter(torch.tensor(2.0))

    def interests(self, encoded: EncodedHistory) -> tuple[Tensor, Tensor]:
        """What a person looks for: directions (B, I, Q) and how much each counts (B, I)."""
        interests_BIW = encoded.readouts_BRW[:, self.readouts]
        # Nothing recognised is no direction, and its gradient finite in half precision too.
        directions_BIQ = normalize(self.interest(interests_BIW).float(), dim=-1, eps=1e-3)
        return directions_BIQ, self.interest_offset(interests_BIW)[..., 0].float()

    def items(self, raw_ND: Tensor) -> tuple[Tensor, Tensor]:
        """Of pictures, where they lie in the space of interests (N, Q) and how much everybody likes them (N)."""
        seen_NE = self.scale.to_model(raw_ND) if self.recognition is None else self.recognition(raw_ND)
        return normalize(self.item_tower(seen_NE).float(), dim=-1), self.appeal_tower(seen_NE)[..., 0].float()

    def fit(self, encoded: EncodedHistory, directions: Tensor) -> Tensor:
        """How well pictures suit each person (B, N).

        `directions` are of one catalogue for all (N, Q) or of each user's own pictures (B, N, Q).
        """
        interests_BIQ, offset_BI = self.interests(encoded)
        sharpness = self.log_sharpness.exp().clamp(max=100.0)  # CLIP's bound (arXiv:2103.00020)
        # Half precision would blur which of near pictures suits better.
        with torch.autocast(directions.device.type, enabled=False):
            if interests_BIQ.shape[1] == 1:  # its own maximum; scaled while it is small
                return torch.matmul(sharpness * interests_BIQ, directions.transpose(-1, -2))[:, 0] + offset_BI
            matched_BIN = torch.matmul(interests_BIQ, directions.transpose(-1, -2))
        return (sharpness * matched_BIN + offset_BI[..., None]).logsumexp(1)


class Scores(nn.Module):
    """The mean score of several members, each with interests, towers and, if any, a recognition of its own.

    What each learned by chance averages out, most where there is little to learn from (Lakshminarayanan et al. 2017,
    arXiv:1612.01474).
    """

    members: list[Score]  # a ModuleList

    def __init__(
        self, *, space: Space, width: int, dim: int, interests: int, recognitions: list[Recognition | None]
    ) -> None:
        super().__init__()
        # The first read-out is the summary; the others are the members' interests, one member after the other.
        starts = range(1, 1 + interests * len(recognitions), interests)
        self.members = nn.ModuleList(  # type: ignore[assignment]
            Score(space=space, width=width, dim=dim, readouts=slice(start, start + interests), recognition=recognition)
            for start, recognition in zip(starts, recognitions)
        )

    @property
    def recognitions(self) -> list[Recognition]:
        """What the members recognise pictures by, if they do."""
        return [member.recognition for member in self.members if member.recognition is not None]

    def freeze(self) -> None:
        """Trains the scores no more; what they recognise pictures by also serves histories, and stays."""
        self.requires_grad_(False)
        for recognition in self.recognitions:
            recognition.requires_grad_(True)

    def forward(self, encoded: EncodedHistory, raw: Tensor) -> Tensor:
        """(B, N) how well pictures suit each person, those of one catalogue (N, D) or of their own (B, N, D)."""
        every = []
        for member in self.members:
            directions, appeal = member.items(raw)
            every.append(member.fit(encoded, directions) + appeal)
        return torch.stack(every).mean(0)
