"""How embeddings are sampled: method, steps, guidance; what a config's `sampler` holds and a checkpoint keeps."""

from prefprior.choices import require_choice
from prefprior.models.configured import Recorded
from prefprior.models.guidance import Guidance
from prefprior.models.samplers import SAMPLERS


class Sampling(Recorded):
    """Settings of one way to sample.

    `candidates` times as many embeddings as asked for are sampled, which is cheap, and those kept that score best and
    differ most; `diversity` is what a difference counts beside the score, and 0 looks at the score alone. With
    `candidates` 1, samples are independent draws from the learned distribution.
    """

    def __init__(
        self,
        *,
        method: str = "euler",
        steps: int = 20,
        guidance: Guidance | None = None,
        candidates: int = 4,
        diversity: float = 1.0,
        on_shell: bool = True,
    ) -> None:
        self.method = require_choice("sampler.method", method, SAMPLERS)
        if steps < 1:
            raise ValueError(f"sampler.steps must be at least 1, got {steps}")
        if candidates < 1:
            raise ValueError(f"sampler.candidates must be at least 1, got {candidates}")
        if diversity < 0:
            raise ValueError(f"sampler.diversity cannot be below 0, got {diversity}")
        self.steps = 1 if method == "one_step" else steps
        self.guidance = guidance or Guidance()
        self.candidates = candidates
        self.diversity = diversity
        self.on_shell = on_shell
