"""What a trained predictor takes a user to be of whom nothing is known, and how it reads their answers."""

import torch

from prefprior.data.datamodule import PreferenceDataModule
from prefprior.data.held_out import HeldOutUsers
from prefprior.elicitation.answer_model import AnswerModel
from prefprior.elicitation.belief import Moves
from prefprior.elicitation.calibration import Calibrated, calibrate
from prefprior.elicitation.cast import Cast
from prefprior.elicitation.next_likes import next_likes
from prefprior.elicitation.people import Levels
from prefprior.elicitation.tastes import Tastes
from prefprior.history import History
from prefprior.inference.predictor import TrainedPredictor


def stranger_cast(
    predictor: TrainedPredictor,
    data: PreferenceDataModule,
    moves: Moves,
    *,
    tastes: int,
    imagined: int,
    reference: int,
    temperature: float | None,
    shown: int,
    most: int,
    seed: int,
) -> tuple[Cast, Calibrated | None]:
    """`tastes` users, each of whom likes `imagined` items; utilities are in standard deviations over `reference` items.

    Answers are calibrated on choices among `shown` pictures of at most `most` validation users, unless a `temperature`
    is given.
    """
    catalogue, draws = data.catalogue, torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(catalogue), generator=draws)[:reference]
    reference_RD = catalogue.embeddings_ND[rows].float()
    stranger = History.of(torch.zeros(0, data.space.dim), [], ages_K=[], user="")
    validation = data.part("val") if data.has_part("val") else None
    people = None if validation is None else HeldOutUsers.halves(validation, catalogue, data.scale).first(most)
    likes = next_likes(predictor, catalogue, people, imagined, draws)
    found = Tastes.imagine(likes, stranger, reference_RD, tastes, imagined, draws)
    train = data.part("train")
    levels = Levels.of(data.scale, train.rating_N[train.rated_N])
    if temperature is not None:
        return Cast(found, AnswerModel(temperature=temperature), moves, levels, catalogue), None
    calibrated = calibrate(
        predictor, data.part("val"), catalogue, data.scale, levels, reference_RD, shown=shown, most=most,
        generator=draws,
    )  # fmt: skip
    return Cast(found, calibrated.model, moves, levels, catalogue), calibrated
