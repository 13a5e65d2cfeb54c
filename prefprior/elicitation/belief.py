"""What is believed of one user's taste: sampled tastes, weighted by how well they explain the answers.

A particle filter. Between two looks through the network an answer takes microseconds: weights are multiplied by its
likelihood. When few tastes are left with any weight, they are resampled and moved (Gilks & Berzuini 2001,
doi:10.1111/1467-9868.00280): the network imagines a part of each user anew, and the change is accepted with the
ratio of the likelihoods of all answers so far.

Shapes: P tastes, N candidates for questions, K favourites, M items shown, X items of all questions, n samples, D
dimension.
"""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from prefprior.elicitation.answer_model import AnswerModel
from prefprior.elicitation.questions import Answer, require_asked, shown_in
from prefprior.elicitation.tastes import Tastes
from prefprior.errors import require_between
from prefprior.inference.editing import interpolated
from prefprior.inference.selection import closeness_to_text, maximal_marginal_relevance, quality, standardised
from prefprior.inference.steering import Steering
from prefprior.models.diffusion.sampler import Sampler
from prefprior.space import Space

HEAVIEST = 64  # tastes that judge what is made: the others weigh next to nothing
FAVOURITES_KEPT = 256  # of each taste: more than a person is usually shown of what such a taste likes best


def favourites_of(utility_PN: Tensor) -> Tensor:
    """(P, K) what each taste likes best, the best first; found once, where each question would look for it again."""
    return utility_PN.topk(min(FAVOURITES_KEPT, utility_PN.shape[1]), dim=1).indices.int()


@dataclass(frozen=True)
class Moves:
    """When and how the network looks again."""

    below: float = 12.0  # effective tastes
    tastes: int = 256  # after resampling
    kept: float = 0.5  # share of the items that a move keeps
    rounds: int = 2

    def __post_init__(self) -> None:
        require_between("moves.tastes", self.tastes, 2, 1_000_000)
        require_between("moves.kept", self.kept, 0, 1)
        require_between("moves.rounds", self.rounds, 0, 1000)


@dataclass(eq=False)
class Belief:
    """The belief about one user; `utility_PN` is what each taste thinks of each candidate."""

    tastes: Tastes
    candidates_ND: Tensor  # raw embeddings of what questions can show
    utility_PN: Tensor
    model: AnswerModel
    moves: Moves = field(default_factory=Moves)
    answers: list[Answer] = field(default_factory=list)
    favourite_PK: Tensor | None = None  # of the tastes, where they are known

    def __post_init__(self) -> None:
        self.log_weight_P = torch.zeros(len(self.tastes))

    @property
    def space(self) -> Space:
        """Of the embeddings."""
        return self.tastes.predictor.space

    @property
    def weight_P(self) -> Tensor:
        """Of the tastes; they sum to 1."""
        return self.log_weight_P.softmax(0)

    @property
    def effective(self) -> float:
        """The effective number of tastes: 1 / sum of squared weights."""
        return float(1 / self.weight_P.square().sum())

    @property
    def shown(self) -> list[int]:
        """Candidates that were shown so far."""
        return shown_in(self.answers)

    def observe(self, answer: Answer) -> None:
        """Takes an answer into account."""
        require_asked(answer, len(self.candidates_ND))
        utility_PM = self.utility_PN.index_select(1, torch.tensor(answer.question.items))
        self.log_weight_P = self.log_weight_P + self.model.log_likelihood(utility_PM, answer)
        self.answers.append(answer)

    def copy(self) -> "Belief":
        """Another that is believed the same, and changes by itself."""
        other = replace(self, answers=list(self.answers))
        other.log_weight_P = self.log_weight_P
        return other

    @property
    def is_thin(self) -> bool:
        """Whether so few tastes are left that the network should look again."""
        return self.effective < self.moves.below

    def look(self, generator: torch.Generator) -> None:
        """Resamples tastes by weight and moves them with the network."""
        moves = self.moves
        rows = torch.multinomial(self.weight_P, moves.tastes, replacement=True, generator=generator)
        tastes, utility_PN = self.tastes.take(rows), self.utility_PN[rows]
        shown = sorted(set(self.shown))
        place = {item: x for x, item in enumerate(shown)}
        fit_P = self._fit(utility_PN[:, shown], place)
        accepted_P = torch.zeros(len(rows), dtype=torch.bool)
        for _ in range(moves.rounds):
            proposed = tastes.regrown(round(moves.kept * tastes.length), generator)
            proposed_fit_P = self._fit(proposed.utilities(self.candidates_ND[shown]), place)
            better_P = torch.rand(len(rows), generator=generator).log() < proposed_fit_P - fit_P
            mixed_PVD = torch.where(better_P[:, None, None], proposed.imagined_PVD, tastes.imagined_PVD)
            tastes = replace(tastes, imagined_PVD=mixed_PVD)
            fit_P, accepted_P = torch.where(better_P, proposed_fit_P, fit_P), accepted_P | better_P
        if accepted_P.any():
            utility_PN = utility_PN.clone()
            utility_PN[accepted_P] = tastes.take(accepted_P.nonzero()[:, 0]).utilities(self.candidates_ND)
        self.tastes, self.utility_PN, self.favourite_PK = tastes, utility_PN, favourites_of(utility_PN)
        self.log_weight_P = torch.zeros(len(rows))

    def heaviest(self) -> tuple[Tastes, Tensor]:
        """The tastes with the largest weights, and those weights."""
        weight_P = self.weight_P
        rows = weight_P.topk(min(HEAVIEST, len(weight_P))).indices
        return self.tastes.take(rows), weight_P[rows] / weight_P[rows].sum()

    def expected(self, raw_ND: Tensor) -> Tensor:
        """(N,) expected utilities of any items."""
        tastes, weight_P = self.heaviest()
        return weight_P @ tastes.utilities(raw_ND)

    def draws(
        self,
        count: int,
        generator: torch.Generator,
        *,
        guided: bool = True,
        sampler: Sampler | None = None,
        rating: float = 1.0,
        text_D: Tensor | None = None,
    ) -> Tensor:
        """(count, D) posterior samples: each of a taste drawn by weight. The options are those of `Tastes.draws`."""
        rows = torch.multinomial(self.weight_P, count, replacement=True, generator=generator)
        drawn = self.tastes.take(rows)
        return drawn.draws(1, generator, guided=guided, sampler=sampler, rating=rating, text_D=text_D)[:, 0]

    def made(
        self,
        n: int,
        generator: torch.Generator,
        *,
        candidates: int = 4,
        diversity: float = 1.0,
        sampler: Sampler | None = None,
        text_D: Tensor | None = None,
        steering: Steering | None = None,
    ) -> Tensor:
        """(n, D) embeddings of the pictures to make: of `candidates` times as many posterior samples those of the
        highest expected utility that differ most.

        `steering` moves the samples before they are chosen. What they should show, `text_D`, is a condition for models
        that were trained with texts; for others it counts half in the choice.
        """
        reads_text = self.tastes.predictor.reads_text
        raw_CD = self.draws(n * candidates, generator, sampler=sampler, text_D=text_D if reads_text else None)
        if steering is not None:
            predictor = self.tastes.predictor
            raw_CD = predictor.model.lengths.bounded(steering.moved(raw_CD).to(predictor.device)).cpu()
        near_1C = None if text_D is None or reads_text else closeness_to_text(raw_CD[None], text_D[None])
        gain_1C = quality(self.expected(raw_CD)[None], near_1C, text_weight=0.5)
        return raw_CD[maximal_marginal_relevance(self._scaled(raw_CD)[None], gain_1C, n, diversity)[0]]

    def mixed(
        self,
        other: "Belief",
        share: float,
        n: int,
        generator: torch.Generator,
        *,
        candidates: int = 4,
        diversity: float = 1.0,
        sampler: Sampler | None = None,
    ) -> Tensor:
        """(n, D) embeddings of pictures for two people at once, of which `share` is the other.

        Candidates are samples of both and what lies between pairs of them. What each person expects of a candidate
        counts by their share.
        """
        count = max(n * candidates // 3, n)
        one_CD, other_CD = (each.draws(count, generator, sampler=sampler) for each in (self, other))
        between_CD = interpolated(self.space, one_CD, other_CD, share)
        predictor = self.tastes.predictor
        between_CD = predictor.model.lengths.bounded(between_CD.to(predictor.device)).cpu()
        raw_CD = torch.cat([one_CD, other_CD, between_CD])
        own_1C, others_1C = (standardised(each.expected(raw_CD)[None]) for each in (self, other))
        gain_1C = (1 - share) * own_1C + share * others_1C
        return raw_CD[maximal_marginal_relevance(self._scaled(raw_CD)[None], gain_1C, n, diversity)[0]]

    def alike(self, other: "Belief", first: int) -> float:
        """The correlation of what two people are expected to think of the first candidates, which both have."""
        expected_2N = torch.stack([each.weight_P @ each.utility_PN[:, :first] for each in (self, other)])
        return float(torch.corrcoef(expected_2N)[0, 1])

    def _scaled(self, raw_CD: Tensor) -> Tensor:
        predictor = self.tastes.predictor
        return predictor.model.prior.scale.to_model(raw_CD.to(predictor.device)).cpu()

    def _fit(self, utility_PX: Tensor, place: dict[int, int]) -> Tensor:
        """(P,) the log-likelihood of all answers."""
        total_P = torch.zeros(len(utility_PX))
        for answer in self.answers:
            columns = [place[item] for item in answer.question.items]
            total_P = total_P + self.model.log_likelihood(utility_PX[:, columns], answer)
        return total_P
