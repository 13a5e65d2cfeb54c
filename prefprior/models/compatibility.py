"""Which components go together: the one place where a combination is refused."""

from prefprior.models.diffusion.schedules import CosineSchedule
from prefprior.models.model import PreferenceModel
from prefprior.models.objectives.denoising import Denoising
from prefprior.models.objectives.distillation import AnswerLoss
from prefprior.models.objectives.objective import Objective
from prefprior.models.prior.in_context import InContextPrior


def require_compatible(model: PreferenceModel, objective: Objective, distillation: AnswerLoss | None) -> None:
    """Raises where one component asks of another what that cannot give."""
    if distillation is not None and not objective.one_step:
        raise ValueError(
            f"{type(distillation).__name__} trains a one-step output, but {type(objective).__name__} has "
            "none. Choose objective=regression, or distillation=none."
        )
    if distillation is not None and distillation.needs_retriever:
        if model.retriever is None:
            raise ValueError(
                "distillation=retriever needs a retriever as teacher: choose one, or distillation=targets."
            )
        if not model.retriever.loss.softmax_weight:
            raise ValueError(
                "distillation=retriever uses the retriever's softmax, but retriever.loss.softmax_weight=0 "
                "does not train one. Give it a value above 0, or choose distillation=targets."
            )
    if isinstance(model.prior, InContextPrior):
        _require_published(model.prior, objective)


def _require_published(prior: InContextPrior, objective: Objective) -> None:
    if prior.network.time_embedding is None:
        if not objective.one_step:
            raise ValueError(
                "a prior without time conditioning (prior=eclipse, prior.time=false) only works in one step. "
                "Give objective=regression."
            )
    elif prior.origin is not None and not _predicts_as_published(objective):
        raise ValueError(
            "the published weights predict x0 on the cosine schedule; with another objective, their "
            "output would be misread. Give objective=diffusion_x0 (or train from random weights: "
            "prior=in_context)."
        )


def _predicts_as_published(objective: Objective) -> bool:
    return (
        isinstance(objective, Denoising)
        and objective.prediction == "x0"
        and isinstance(objective.schedule, CosineSchedule)
        and objective.schedule.shift == 1
    )
