"""What an imagined user likes next: an embedding that the generator makes or, where that is the same one every time, an
item of the catalogue.

Shapes: B users, K history, T held out, n draws, N items, L lengths of histories, D dimension.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from prefprior.data.held_out import HeldOutUsers
from prefprior.history import History, hide_seen
from prefprior.inference.predictor import TrainedPredictor
from prefprior.models.known_items import KnownItems
from prefprior.predictor import Catalogue

MOST_ITEMS = 20_000  # random ones of a larger catalogue, each of which is scored for each draw
USERS_AT_ONCE = 256  # bounds memory
LENGTHS = (0, 1, 2, 4, 8, 16)  # of histories, from which on another temperature may be due
SHARPNESS = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)  # what scores are multiplied by: 1 / temperature


class NextLikes(Protocol):
    """Draws what users like next."""

    @property
    def predictor(self) -> TrainedPredictor:
        """The model that says what they like."""

    def draw(self, history: History, n: int, generator: torch.Generator) -> Tensor:
        """(B, n, D) raw embeddings."""


@dataclass(frozen=True, eq=False)
class Generated:
    """Embeddings from the generator."""

    predictor: TrainedPredictor

    def draw(self, history: History, n: int, generator: torch.Generator) -> Tensor:
        """By the model's own sampler, without selection."""
        return self.predictor.sample(history, n, generator, sampler=self.predictor.sampler.changed(candidates=1)).cpu()


@dataclass(frozen=True, eq=False)
class Items:
    """Items from the softmax of the scores by which the model ranks, none that a user has already.

    As they are trained, scores are log-probabilities up to a constant. That may be wrong for short histories: where a
    collaborative score is blended in, popularity counts only a part, and is all that an empty history has.
    """

    predictor: TrainedPredictor
    catalogue: Catalogue
    known: KnownItems  # the place of each in that catalogue
    sharpness_L: Tensor

    @classmethod
    def of(cls, predictor: TrainedPredictor, catalogue: Catalogue, generator: torch.Generator) -> "Items":
        """Those of a catalogue whose embeddings differ."""
        known, some_N = KnownItems(), torch.zeros(len(catalogue), dtype=torch.bool)
        some_N[torch.randperm(len(catalogue), generator=generator)[:MOST_ITEMS]] = True
        _, row_N = known.learn(catalogue.embeddings_ND, some_N)
        ids = [catalogue.ids[row] for row in row_N.tolist()]
        distinct = Catalogue(catalogue.space, ids, catalogue.embeddings_ND[row_N].float())
        return cls(predictor, distinct, known, torch.ones(len(LENGTHS)))

    def draw(self, history: History, n: int, generator: torch.Generator) -> Tensor:
        """The n largest of logits with Gumbel noise are draws without replacement (Kool et al. 2019,
        arXiv:1903.06059)."""
        parts = []
        for rows in torch.arange(len(history)).split(USERS_AT_ONCE):
            logit_BN = self.logits(history.take(rows))
            noise_BN = -torch.empty_like(logit_BN).exponential_(generator=generator).log()
            parts.append((logit_BN + noise_BN).topk(n).indices)
        row_Bn = torch.cat(parts)
        return self.catalogue.embeddings_ND[row_Bn]

    def logits(self, history: History) -> Tensor:
        """(B, N), -inf for what a user has."""
        place_BK = self.known.place(history.embeddings_BKD).masked_fill(~history.valid_BK, -1)
        history = replace(history, items_BK=place_BK)
        score_BN = self.predictor.rank(history, self.catalogue, "both").cpu()
        length_B = torch.searchsorted(torch.tensor(LENGTHS), history.valid_BK.sum(1), right=True) - 1
        return hide_seen(score_BN * self.sharpness_L[length_B, None], history)

    def fitted(self, people: HeldOutUsers) -> "Items":
        """With the temperatures that make the held-out likes of users most probable, when so many of their other
        ratings are known."""
        place_BT = self.known.place(people.held_embeddings()).masked_fill(~people.held_liked_BT, -1)
        people, place_BT = people.take(rows := (place_BT >= 0).any(1).nonzero()[:, 0]), place_BT[rows]
        if not len(people):
            return self
        found = [self._best(people, length, place_BT) for length in LENGTHS]
        return replace(self, sharpness_L=torch.tensor(found))

    def _best(self, people: HeldOutUsers, length: int, place_BT: Tensor) -> float:
        history = people.history(max(length, 1))
        if not length:
            history = replace(history, valid_BK=torch.zeros_like(history.valid_BK))
        logit_BN = replace(self, sharpness_L=torch.ones(len(LENGTHS))).logits(history)
        target_BT = (place_BT >= 0) & logit_BN.gather(1, place_BT.clamp_min(0)).isfinite()

        def fit(sharpness: float) -> float:
            log_BT = (sharpness * logit_BN).log_softmax(1).gather(1, place_BT.clamp_min(0))
            # All users count the same.
            return float((log_BT.where(target_BT, 0).sum(1) / target_BT.sum(1).clamp_min(1)).sum())

        return max(SHARPNESS, key=fit)


def next_likes(
    predictor: TrainedPredictor,
    catalogue: Catalogue,
    people: HeldOutUsers | None,
    length: int,
    generator: torch.Generator,
) -> NextLikes:
    """The generator's draws if it can draw, else items, with temperatures fitted to people; of each user `length` are
    drawn."""
    if predictor.objective.can_draw:
        return Generated(predictor)
    if predictor.rank_by != "retriever":
        raise ValueError(
            "users cannot be imagined: the generator of this model makes the same embedding for a history every time "
            "(objective=regression with answers=1), and there is no retriever by whose scores items could be drawn. "
            "Train with objective=flow or with a retriever"
        )
    items = Items.of(predictor, catalogue, generator)
    if len(items.catalogue) < length:
        raise ValueError(
            f"users cannot be imagined: each is to like imagined={length} items, and there are "
            f"{len(items.catalogue)} to draw from. Lower imagined"
        )
    return items if people is None else items.fitted(people)
