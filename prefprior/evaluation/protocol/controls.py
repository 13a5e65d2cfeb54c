"""Controls: the same predictor given a history that should not help. What is personal must vanish under them."""

from collections.abc import Callable
from dataclasses import replace

import torch

from prefprior.data.held_out import HeldOutUsers

Control = Callable[[HeldOutUsers, torch.Generator], HeldOutUsers]


def other_user(people: HeldOutUsers, generator: torch.Generator) -> HeldOutUsers:
    """Every user gets another user's history; their seen and held-out items do not change."""
    order = torch.randperm(len(people), generator=generator)
    giver = torch.empty_like(order)
    giver[order] = order.roll(1)  # one cycle through all users: no user keeps their own
    givers = tuple(people.users[b] for b in giver.tolist())  # predictors that know users by id see the giver's
    given = {name: getattr(people, name)[giver] for name in ("item_BK", "raw_BK", "question_BK")}
    return replace(people, **given, shown_as=givers)


def permuted_ratings(people: HeldOutUsers, generator: torch.Generator) -> HeldOutUsers:
    """Each history keeps its pictures; its ratings are permuted among them, and what was picked within each question:
    how many were stays."""
    noise_BK = torch.rand(people.item_BK.shape, generator=generator).masked_fill(~people.valid_BK, 2.0)
    drawn_BK = noise_BK.argsort(dim=1)
    # Sorted by question, the places and the drawn places of each question stand at the same places.
    place_BK = people.question_BK.argsort(dim=1, stable=True)
    drawn_BK = drawn_BK.gather(1, people.question_BK.gather(1, drawn_BK).argsort(dim=1, stable=True))
    raw_BK = torch.empty_like(people.raw_BK).scatter_(1, place_BK, people.raw_BK.gather(1, drawn_BK))
    return replace(people, raw_BK=raw_BK)


def negated_ratings(people: HeldOutUsers, generator: torch.Generator) -> HeldOutUsers:
    """Likes become dislikes and the reverse; what was picked becomes what was passed over, and the reverse."""
    return replace(people, sign=-people.sign)


CONTROLS: dict[str, Control] = {
    "other_user": other_user,
    "permuted": permuted_ratings,
    "negated": negated_ratings,
}
