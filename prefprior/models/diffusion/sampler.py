"""How embeddings are sampled and new pictures ranked; what a config's `sampler` holds and a checkpoint keeps."""

from prefprior.errors import require_choice
from prefprior.models.diffusion.guidance import Guidance
from prefprior.models.diffusion.solvers import SAMPLERS
from prefprior.models.recorded import Recorded
from prefprior.models.retriever.cold_start import require_share


class Sampling(Recorded):
    """Settings of one way to sample, and to rank.

    `candidates` times as many embeddings as asked for are sampled, which is cheap, and those kept that score best and
    differ most; `diversity` is what a difference counts beside the score, and 0 looks at the score alone. With
    `candidates` 1, samples are independent draws from the learned distribution.

    What others rated tells nothing of a picture that nobody did. Where a prior knows which are such (`prior.pictures`),
    `rank` holds it for `new_share` likely that a person's next picture is a new one, and which of them by its nearness
    to their likes: a softmax over the cosine times `new_sharpness`. 0 scores new pictures as all others.
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
        new_share: float = 0.0,
        new_sharpness: float = 100.0,
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
        require_share(new_share)
        if not new_sharpness > 0:
            raise ValueError(f"sampler.new_sharpness must be above 0, got {new_sharpness}")
        self.on_shell = on_shell
        self.new_share = new_share
        self.new_sharpness = new_sharpness
