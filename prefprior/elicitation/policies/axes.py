"""Asks along axes that words name, as PrefGen's sliders do: darker or lighter, calmer or wilder?

Shapes: P tastes, S pairs.
"""

from collections.abc import Sequence

import torch

from prefprior.data.embedding.text_axes import FURTHEST, require_axis
from prefprior.elicitation.policies.policy import Policy, Situation
from prefprior.errors import require_between


class Axes(Policy):
    """Of pairs that are made along axes, the one whose answer says most about the taste."""

    fewest = most = 2

    def __init__(self, *, words: Sequence[str] = ("darker", "wilder"), step: float = 1.0, pictures: int = 64) -> None:
        """`words` name the axes; on each, `pictures` random pictures are moved by `step` standard deviations of real
        pictures to either side."""
        if not words:
            raise ValueError("policy.words must name at least one axis, such as darker")
        for word in words:
            require_axis(word)
        require_between("policy.step", step, 0.01, FURTHEST)
        require_between("policy.pictures", pictures, 1, 100_000)
        self.along, self.step, self.pictures = tuple(words), step, pictures

    def choose(self, situation: Situation, generator: torch.Generator) -> list[int]:
        """Of the pairs that were not shown; candidates come in pairs."""
        pair_S2 = torch.arange(len(situation.open_N)).view(-1, 2)
        open_S2 = pair_S2[situation.open_N[pair_S2].all(1)]
        information_S = situation.model.information(
            situation.utility_PN[:, open_S2], situation.weight_P, situation.kind
        )
        pair: list[int] = open_S2[int(information_S.argmax())].tolist()
        return pair
