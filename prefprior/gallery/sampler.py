"""The trained prior as galleries use it: independent draws, with steps and guidance chosen for this gallery.

The prior's own choice among candidates is made here instead, by `Drawer`, once near-copies are out.
"""

from typing import Any

import torch
from torch import Tensor

from prefprior.history import History
from prefprior.inference.predictor import TrainedPredictor
from prefprior.models.diffusion.guidance import Guidance
from prefprior.models.diffusion.sampler import Sampler
from prefprior.predictor import Catalogue


class PriorSampler:
    """Samples by a prior, and scores new pictures as all others; what is not given is as its checkpoint says."""

    def __init__(
        self,
        predictor: TrainedPredictor,
        *,
        steps: int | None = None,
        guidance_history: float | None = None,
        guidance_rating: float | None = None,
        guidance_text: float | None = None,
        text_D: Tensor | None = None,
    ) -> None:
        """`text_D` is what everybody's pictures should show; only priors that were trained with texts read it."""
        own = predictor.sampler
        self.guidance = Guidance(
            history=own.guidance.history if guidance_history is None else guidance_history,
            rating=own.guidance.rating if guidance_rating is None else guidance_rating,
            text=own.guidance.text if guidance_text is None else guidance_text,
        )
        self._text_D = text_D
        self.steps = own.steps if steps is None else steps
        # What is sampled is new, all of it: to be compared with real pictures, both must be scored alike.
        sampler = Sampler(
            solver=own.solver, steps=self.steps, guidance=self.guidance, candidates=1, on_shell=own.on_shell
        )
        self._independent = TrainedPredictor(
            model=predictor.model, objective=predictor.objective, sampler=sampler, facts=predictor.facts
        )

    def __call__(self, history: History, n: int, generator: torch.Generator, *, rating: float) -> Tensor:
        """(B, n, D) raw embeddings of pictures that would get that rating."""
        text_BD = None if self._text_D is None else self._text_D.expand(len(history), -1)
        return self._independent.sample(history, n, generator, rating=rating, text_BD=text_BD)

    def rank(self, history: History, catalogue: Catalogue) -> Tensor:
        """(B, N) scores of a catalogue."""
        return self._independent.score(history, catalogue.embeddings_ND)

    def settings(self) -> dict[str, Any]:
        """What a manifest holds, and the same in words."""
        history, rating = self.guidance.history, self.guidance.rating
        text = {} if self._text_D is None else {"text": self.guidance.text}
        return {
            "steps": self.steps,
            "solver": self._independent.sampler.solver.config["_target_"].rsplit(".", 1)[-1],
            "guidance": {"history": history, "rating": rating} | text,
            "words": f"{self.steps} steps, guidance by history {history:g} and by rating {rating:g}"
            + "".join(f" and by text {value:g}" for value in text.values()),
        }
