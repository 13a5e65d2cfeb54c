"""How embeddings are sampled: what the config group `sampler` holds and a checkpoint keeps."""

from inspect import signature
from typing import Any

from prefprior.errors import require_between
from prefprior.models.diffusion.guidance import Guidance
from prefprior.models.diffusion.solvers import Euler, OneStep, Solver
from prefprior.models.recorded import Recorded

MOST_STEPS = 10_000  # ten times the grid that diffusion models are trained on


class Sampler(Recorded):
    """Solver, steps, guidance, and the selection among candidates.

    `candidates` times as many embeddings as asked for are sampled, which is cheap. Those are kept that score best and
    differ most (maximal marginal relevance); `diversity` is the weight of a difference beside the score, and 0 looks at
    the score alone. With `candidates` 1, samples are independent draws from the learned distribution.
    """

    def __init__(
        self,
        *,
        solver: Solver | None = None,
        steps: int = 20,
        guidance: Guidance | None = None,
        candidates: int = 4,
        diversity: float = 1.0,
    ) -> None:
        self.solver = solver or Euler()
        require_between("sampler.steps", steps, 1, MOST_STEPS)
        if candidates < 1:
            raise ValueError(f"sampler.candidates must be at least 1, got {candidates}")
        if not diversity >= 0:
            raise ValueError(f"sampler.diversity must be at least 0, got {diversity}")
        self.steps = 1 if isinstance(solver, OneStep) else steps
        self.guidance = guidance or Guidance()
        self.candidates = candidates
        self.diversity = diversity

    def changed(self, **changes: Any) -> "Sampler":
        """This sampler with some of its settings replaced."""
        settings = {name: getattr(self, name) for name in signature(Sampler).parameters}
        return Sampler(**(settings | changes))
