"""The outside baseline: the pair of the highest qEUBO of a Gaussian process, by BoTorch.

Shapes: N candidates, S pairs.
"""

from importlib.util import find_spec

import torch

from prefprior.elicitation.belief import Belief
from prefprior.elicitation.policies.policy import Policy, Situation
from prefprior.elicitation.posterior import Posterior
from prefprior.elicitation.questions import Kind
from prefprior.errors import require_between

PLEASING = 50  # candidates of the highest mean, of which half of the pairs have one and a quarter two


class PairwiseGp(Policy):
    """Of random pairs the best by qEUBO; a Gaussian process, fitted to the answers, is all that it believes."""

    fewest = most = 2

    def __init__(self, *, axes: int = 8, pairs: int = 1000) -> None:
        """The process works on the first `axes` principal axes of the candidates; `pairs` are compared."""
        require_between("policy.axes", axes, 1, 10_000)
        require_between("policy.pairs", pairs, 1, 10_000_000)
        self.axes, self.pairs = axes, pairs

    def require(self, kind: Kind) -> None:
        """Pairs without "none of these", and BoTorch, which is imported only where it is used."""
        super().require(kind)
        if kind.none:
            raise ValueError(
                "the policy PairwiseGp has no answer 'none of these': its process knows which of two is better. Ask "
                "for 'questions=[2]'"
            )
        if find_spec("botorch") is None:
            raise ValueError("the policy PairwiseGp needs the package botorch: pip install 'prefprior[elicitation]'")

    def begin(self, belief: Belief) -> Posterior:
        """A process about the same candidates; what imagined users like is what it can make."""
        from prefprior.elicitation.gaussian import GaussianBelief

        stranger_YD = belief.tastes.imagined_PVD.flatten(0, 1)
        return GaussianBelief(belief.candidates_ND, stranger_YD, belief.space, belief.model, axes=self.axes)

    def choose(self, situation: Situation, generator: torch.Generator) -> list[int]:
        """At random before the first answer: to a process that knows nothing, all pairs are the same."""
        from prefprior.elicitation.gaussian import GaussianBelief

        belief = situation.posterior
        assert isinstance(belief, GaussianBelief)
        open_rows = situation.open_N.nonzero()[:, 0]
        pair_S2 = open_rows[torch.randint(len(open_rows), (self.pairs, 2), generator=generator)]
        best_rows = situation.expected_N.topk(min(PLEASING, len(open_rows))).indices
        half, quarter = self.pairs // 2, self.pairs // 4
        pair_S2[:half, 0] = best_rows[torch.randint(len(best_rows), (half,), generator=generator)]
        pair_S2[:quarter, 1] = best_rows[torch.randint(len(best_rows), (quarter,), generator=generator)]
        pair_S2 = situation.distinct(pair_S2)
        if not belief.knows_something or not len(pair_S2):
            return situation.filled([], generator)
        return pair_S2[int(belief.expected_best(pair_S2, generator).argmax())].tolist()
