"""Histories of pictures that were shown at random, in the place of what users came to by themselves.

What a user looked for says much by having been looked for. Of random pictures only the ratings say anything, as in an
app that shows pictures to be rated. Only a world can tell how a user would have rated them.

Shapes: B users, K history.
"""

from dataclasses import replace

import numpy as np
import torch

from prefprior.data.held_out import HeldOutUsers
from prefprior.world.source import WorldSource


def shown_at_random(people: HeldOutUsers, source: WorldSource, count: int) -> HeldOutUsers:
    """The same users and held-out ratings; each history is `count` random pictures, none of which is held out."""
    held = [row_T[row_T >= 0].numpy() for row_T in people.held_item_BT]
    rated = [source.rate_at_random(user, count, without) for user, without in zip(people.users, held, strict=True)]
    item_BK = torch.from_numpy(np.stack([item_K for item_K, _ in rated])).long()
    raw_BK = torch.from_numpy(np.stack([rating_K for _, rating_K in rated])).to(people.raw_BK)
    return replace(people, item_BK=item_BK, raw_BK=raw_BK, question_BK=torch.zeros_like(item_BK), seen_item_BS=item_BK)
