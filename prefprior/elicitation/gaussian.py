"""What BoTorch's `PairwiseGP` believes of one user, by the pairs they answered: an outside baseline.

It works on a few principal axes of the candidates, because Gaussian processes of preferences are for few dimensions,
and it is fitted anew after each answer. What it makes are the best of the prior's samples for a stranger. Of the prior
nothing else is used.

Shapes: N candidates for questions, Y samples for a stranger, C of them, S pairs, A axes, n samples, D dimension.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from botorch.acquisition.preference import qExpectedUtilityOfBestOption
from botorch.fit import fit_gpytorch_mll
from botorch.models.pairwise_gp import PairwiseGP, PairwiseLaplaceMarginalLogLikelihood
from botorch.sampling.normal import SobolQMCNormalSampler
from torch import Tensor

from prefprior.elicitation.answer_model import AnswerModel
from prefprior.elicitation.questions import Answer, require_asked, shown_in
from prefprior.inference.selection import maximal_marginal_relevance
from prefprior.seeding import initialised_by
from prefprior.space import Space

UTILITIES = 128  # draws of the utilities of a pair, in qEUBO


class GaussianBelief:
    """The belief about one user. Its only taste is the mean of the process."""

    def __init__(
        self, candidates_ND: Tensor, stranger_YD: Tensor, space: Space, model: AnswerModel, *, axes: int
    ) -> None:
        """`axes` are the first principal axes of the candidates, standardised. On each of 8 they lie between 0 and 1,
        as BoTorch's priors take it; with more, distances stay as they are (Hvarfner et al. 2024, arXiv:2402.02229)."""
        self.candidates_ND, self.space, self.model = candidates_ND, space, model
        self._stranger_YD = stranger_YD
        self.answers: list[Answer] = []
        scaled_ND = space.to_model(candidates_ND).double()
        self._mean_D = scaled_ND.mean(0)
        # The last eigenvectors are those of the largest eigenvalues.
        self._axis_DA = torch.linalg.eigh((scaled_ND - self._mean_D).T.cov(correction=0)).eigenvectors[:, -axes:]
        along_NA = (scaled_ND - self._mean_D) @ self._axis_DA
        self._low_A, range_A = along_NA.amin(0), along_NA.amax(0) - along_NA.amin(0)
        self._span_A = range_A.clamp(min=1e-9) * max(1.0, along_NA.shape[1] / 8) ** 0.5
        self._point_NA = self._points(candidates_ND)
        self._process: PairwiseGP | None = None  # None: no pair was decided
        self._fitted_to = 0  # answers

    @property
    def knows_something(self) -> bool:
        """Whether a pair was decided."""
        return self._process is not None

    @property
    def weight_P(self) -> Tensor:
        """Of the only taste."""
        return torch.ones(1)

    @property
    def utility_PN(self) -> Tensor:
        """The mean of the process at the candidates."""
        return self._expected(self._point_NA)[None]

    @property
    def shown(self) -> list[int]:
        """Candidates that were shown so far."""
        return shown_in(self.answers)

    def observe(self, answer: Answer) -> None:
        """Remembers an answer; `look` fits the process to it."""
        require_asked(answer, len(self.candidates_ND))
        self.answers.append(answer)

    @property
    def is_thin(self) -> bool:
        """Whether there are answers that the process was not fitted to."""
        return self._fitted_to < len(self.answers)

    def look(self, generator: torch.Generator) -> None:
        """Fits the process and its hyperparameters to all pairs; one in which both or none were picked says nothing."""
        self._fitted_to = len(self.answers)
        decided = [answer for answer in self.answers if len(answer.picked) == 1]
        if not decided:
            return
        point_XA = self._point_NA[shown_in(decided)]
        winner_loser = [
            (2 * row + answer.picked[0], 2 * row + 1 - answer.picked[0]) for row, answer in enumerate(decided)
        ]
        with _drawing_from(generator):
            self._process = PairwiseGP(point_XA, torch.tensor(winner_loser))
            fit_gpytorch_mll(PairwiseLaplaceMarginalLogLikelihood(self._process.likelihood, self._process))

    def expected_best(self, pair_S2: Tensor, generator: torch.Generator) -> Tensor:
        """(S,) qEUBO of some pairs of candidates: the expected utility of the better one."""
        assert self._process is not None
        seed = int(torch.randint(2**31, (1,), generator=generator))
        sampler = SobolQMCNormalSampler(torch.Size([UTILITIES]), seed=seed)
        with torch.no_grad():
            return qExpectedUtilityOfBestOption(self._process, sampler=sampler)(self._point_NA[pair_S2])

    def expected(self, raw_ND: Tensor) -> Tensor:
        """(N,) the mean of the process at any items."""
        return self._expected(self._points(raw_ND))

    def draws(self, count: int, generator: torch.Generator, *, guided: bool = True) -> Tensor:
        """(count, D) for each of so many functions drawn from the process the candidate where it is highest; nothing is
        generated, so nothing is guided."""
        if self._process is None:
            return self.candidates_ND[torch.randint(len(self.candidates_ND), (count,), generator=generator)]
        with torch.no_grad(), _drawing_from(generator):
            utility_nN = self._process.posterior(self._point_NA).rsample(torch.Size([count]))[..., 0]
        return self.candidates_ND[utility_nN.argmax(1)]

    def made(self, n: int, generator: torch.Generator, *, candidates: int = 4, diversity: float = 1.0) -> Tensor:
        """(n, D) of as many samples for a stranger as there are candidates, the `candidates` times n of the highest
        mean; of these, those that differ most."""
        some = torch.randperm(len(self._stranger_YD), generator=generator)[: len(self.candidates_ND)]
        best = self.expected(self._stranger_YD[some]).topk(min(n * candidates, len(some)))
        raw_CD = self._stranger_YD[some[best.indices]]
        scaled_CD = self.space.to_model(raw_CD)
        return raw_CD[maximal_marginal_relevance(scaled_CD[None], best.values[None], n, diversity)[0]]

    def _points(self, raw_ND: Tensor) -> Tensor:
        along_NA = (self.space.to_model(raw_ND).double() - self._mean_D) @ self._axis_DA
        return (along_NA - self._low_A) / self._span_A

    def _expected(self, point_NA: Tensor) -> Tensor:
        if self._process is None:
            return torch.zeros(len(point_NA))
        with torch.no_grad():  # each by itself: their covariance is not needed
            return self._process.posterior(point_NA[:, None]).mean[:, 0, 0].float()


@contextmanager
def _drawing_from(generator: torch.Generator) -> Iterator[None]:
    """Inside, the global states of torch and numpy, from which BoTorch draws, follow from the generator."""
    state = np.random.get_state()
    np.random.seed(int(torch.randint(2**31, (1,), generator=generator)))
    try:
        with initialised_by(generator):
            yield
    finally:
        np.random.set_state(state)
