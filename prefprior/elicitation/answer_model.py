"""How probable an answer is, given the utility of what was shown: one model for all kinds of questions.

A choice follows Plackett-Luce with a temperature; with "none of these", a picture at the threshold of a like stands
among those shown. A rating follows the graded response model (Samejima 1969): it is above a level with a probability
that is a sigmoid of the utility about that level's threshold. Some answers say nothing, and are spread evenly
(`lapse`). Utilities are in standard deviations over the pictures that there are.

Shapes: P tastes, M items shown, K of them without one, L levels of a rating, X possible answers, S questions. Leading
dimensions are free.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from prefprior.elicitation.questions import Answer, Kind
from prefprior.errors import require_between

LARGEST = 60.0  # of a difference in log-odds: beyond it a choice is certain, and its exponential is still a float


class AnswerModel:
    """Temperature of choices, thresholds of ratings, and the share of answers that say nothing."""

    def __init__(
        self,
        *,
        temperature: float = 0.4,
        lapse: float = 0.05,
        thresholds: Sequence[float] = (-0.5, 0.5, 1.5, 2.5),
        spread: float = 0.5,
        liked_from: float = 1.5,
    ) -> None:
        """`thresholds` are the utilities between one level of a rating and the next, `spread` says how soft they are,
        and `liked_from` is the utility of a picture that is barely liked."""
        require_between("answers.temperature", temperature, 1e-4, 100)
        require_between("answers.spread", spread, 1e-4, 100)
        require_between("answers.lapse", lapse, 0, 1)
        if not thresholds or list(thresholds) != sorted(set(thresholds)):
            raise ValueError(f"answers.thresholds must be rising numbers, at least one, got {list(thresholds)}")
        self.temperature, self.lapse, self.spread, self.liked_from = temperature, lapse, spread, liked_from
        self.thresholds = torch.tensor(list(thresholds), dtype=torch.float32)

    def probabilities(self, utility_PM: Tensor, kind: Kind) -> Tensor:
        """(..., M), (..., M + 1) with "none of these" last, or (..., L) of the levels of a rating."""
        return self._by_answer(utility_PM, kind).movedim(0, -1)

    def log_likelihood(self, utility_PM: Tensor, answer: Answer) -> Tensor:
        """(P,) log-probabilities of an answer under each taste.

        Of several picks each is a choice among itself and what was passed over.
        """
        kind = answer.question.kind
        if answer.level is not None:
            if answer.level > len(self.thresholds):
                raise ValueError(f"there is no level {answer.level}: a rating has levels 0 to {len(self.thresholds)}")
            return self.probabilities(utility_PM, kind)[..., answer.level].log()
        if len(answer.picked) <= 1:
            place = answer.picked[0] if answer.picked else -1
            return self.probabilities(utility_PM, kind)[..., place].log()
        passed = [place for place in range(kind.shown) if place not in answer.picked]
        each = []
        for place in answer.picked:
            options = self._options(utility_PM[..., [place, *passed]], kind) / self.temperature
            certain = options.softmax(-1)[..., 0]
            each.append(((1 - self.lapse) * certain + self.lapse / options.shape[-1]).log())
        return torch.stack(each).sum(0)

    def information(self, utility_PSM: Tensor, weight_P: Tensor, kind: Kind) -> Tensor:
        """(S,) mutual information between the answer and the taste, for each of S questions."""
        probability_XPS = self._by_answer(utility_PSM, kind)
        return _entropy(weight_P @ probability_XPS) - weight_P @ _entropy(probability_XPS)

    def information_of_alternatives(self, shown_KP: Tensor, tried_SP: Tensor, weight_P: Tensor, kind: Kind) -> Tensor:
        """(S,) mutual information of choices that have K items in common, each beside one of S others, if every answer
        says something.

        With e the exponential of utility over temperature, the probability of item i is e_i / total. What the items in
        common contribute to totals and entropies is the same for all S, and their mean probabilities are one matrix
        product. Tastes are last, so that all sums over them are over what lies together. Leading dimensions are those
        of several people.
        """
        log_KP = self._options(shown_KP, kind, dim=-2) / self.temperature
        top_1P = log_KP.amax(-2, keepdim=True)
        log_KP = log_KP - top_1P
        tried_log_SP = (tried_SP / self.temperature).sub_(top_1P).clamp_(max=LARGEST)
        odds_KP, tried_odds_SP = log_KP.exp(), tried_log_SP.exp()
        total_SP = odds_KP.sum(-2, keepdim=True) + tried_odds_SP
        share_SP = weight_P[..., None, :] / total_SP
        mean_SX = torch.cat([share_SP @ odds_KP.mT, (tried_odds_SP * share_SP).sum(-1, keepdim=True)], dim=-1)
        # The entropy of one taste's answer: the sum of p (log total - log e).
        inner_SP = tried_log_SP.mul_(tried_odds_SP).add_((odds_KP * log_KP).sum(-2, keepdim=True))
        noise_S = (total_SP.log_() @ weight_P[..., None])[..., 0] - inner_SP.mul_(share_SP).sum(-1)
        return _entropy(mean_SX, dim=-1) - noise_S

    def _by_answer(self, utility_PM: Tensor, kind: Kind) -> Tensor:
        """(X, ...) the probabilities, of one answer after the other: sums over a short last dimension are slow."""
        if kind.is_rating:
            certain_XP = graded(utility_PM[..., 0], self.thresholds, self.spread)
        else:
            certain_XP = (self._options(utility_PM, kind).movedim(-1, 0).contiguous() / self.temperature).softmax(0)
        return (1 - self.lapse) * certain_XP + self.lapse / len(certain_XP)

    def _options(self, utility_PM: Tensor, kind: Kind, dim: int = -1) -> Tensor:
        if not kind.none:
            return utility_PM
        barely_liked = torch.full_like(utility_PM.narrow(dim, 0, 1), self.liked_from)
        return torch.cat([utility_PM, barely_liked], dim=dim)


def graded(utility: Tensor, thresholds: Tensor, spread: float | Tensor) -> Tensor:
    """(L, ...) probabilities of the levels, of utilities (...)."""
    above = torch.sigmoid((utility - thresholds.reshape(-1, *[1] * utility.dim())) / spread)
    one, zero = torch.ones_like(above[:1]), torch.zeros_like(above[:1])
    return torch.cat([one, above]) - torch.cat([above, zero])


def _entropy(probability_X: Tensor, dim: int = 0) -> Tensor:
    tiny = torch.finfo(probability_X.dtype).tiny  # 0 log 0 is 0
    return -(probability_X * probability_X.clamp(min=tiny).log()).sum(dim)
