"""How embeddings are sampled: method, steps, guidance; what a config's `sampler` holds and a checkpoint keeps."""

from prefprior.choices import require_choice
from prefprior.models.configured import Recorded
from prefprior.models.guidance import Guidance
from prefprior.models.samplers import SAMPLERS


class Sampling(Recorded):
    """Settings of one way to sample; every one can be overridden in a call."""

    def __init__(
        self,
        *,
        method: str = "euler",
        steps: int = 20,
        guidance: Guidance | None = None,
        repulsion: float = 0.0,
        on_shell: bool = True,
    ) -> None:
        self.method = require_choice("sampler.method", method, SAMPLERS)
        if steps < 1:
            raise ValueError(f"sampler.steps must be at least 1, got {steps}")
        if repulsion < 0:
            raise ValueError(f"sampler.repulsion cannot be below 0, got {repulsion}")
        self.steps = 1 if method == "one_step" else steps
        self.guidance = guidance or Guidance()
        self.repulsion = repulsion
        self.on_shell = on_shell
