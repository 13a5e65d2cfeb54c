"""What a trained model has seen of what it is evaluated on.

Two models are compared on the same users. Those who are unseen to the one may have been trained on by the other, which
was given another split, or another table; its name then says so, wherever a figure stands.

Shapes: B users, T held out, N ratings.
"""

from dataclasses import dataclass

import numpy as np

from prefprior.data.hashing import id_hashes, mix, rating_hashes
from prefprior.data.held_out import HeldOutUsers
from prefprior.ratings import RatingsTable

OTHER = "trained on other ratings"  # which ones is unknown


@dataclass(frozen=True)
class Overlap:
    """How much of an evaluation is in a training part."""

    people: int
    ratings: int  # held out
    pictures: int  # held out, and rated by any training user

    @classmethod
    def of(cls, training: RatingsTable, evaluated: HeldOutUsers) -> "Overlap":
        """By ids: the training part may be of another table."""
        user_B = id_hashes(evaluated.users)
        held_BT = evaluated.held_item_BT.numpy()
        row_M = np.unique(held_BT[held_BT >= 0])
        item_I = np.zeros(len(evaluated.catalogue), dtype=np.uint64)
        item_I[row_M] = id_hashes(evaluated.catalogue.ids[row] for row in row_M)
        pair_BT = mix(user_B[:, None], item_I[held_BT])[held_BT >= 0]
        trained_users = id_hashes(str(user) for user in training.users[np.unique(training.user_N)])
        trained_items = id_hashes(str(item) for item in training.items[np.unique(training.item_N)])
        return cls(
            people=int(np.isin(user_B, trained_users).sum()),
            ratings=int(np.isin(pair_BT, rating_hashes(training)).sum()),
            pictures=int(np.isin(item_I[row_M], trained_items).sum()),
        )


def what_it_saw(
    training: RatingsTable | None, expected: RatingsTable, evaluated: HeldOutUsers, part: str
) -> str | None:
    """In words, what a model was trained on of what is evaluated; None where it is what the part promises.

    `expected` is the training part of the evaluation's own data, `training` the model's, if it is known.
    """
    if training is None:
        return OTHER
    own, promised = Overlap.of(training, evaluated), Overlap.of(expected, evaluated)
    if own.people != promised.people:
        return f"trained on {own.people} of {len(evaluated)} people"
    if own.ratings != promised.ratings:
        return f"trained on {own.ratings} of {int(evaluated.held_valid_BT.sum())} held-out ratings"
    if part == "unseen_items" and own.pictures != promised.pictures:
        return f"trained on {own.pictures} of the held-out pictures"
    return None
