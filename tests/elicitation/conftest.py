"""Situations with known utilities, and people whose taste is one of those that are sampled."""

from typing import Any

import pytest
import torch
from torch import Tensor

from prefprior.elicitation.answer_model import AnswerModel
from prefprior.elicitation.policies.policy import Situation
from prefprior.elicitation.questions import Kind


def situation(utility_PN: Tensor, shown: int, **changes: Any) -> Situation:
    """All tastes are as probable, all items open and unlike each other."""
    tastes, items = utility_PN.shape
    given: dict[str, Any] = {
        "weight_P": torch.full((tastes,), 1 / tastes),
        "utility_PN": utility_PN,
        "direction_ND": torch.eye(items),
        "open_N": torch.ones(items, dtype=torch.bool),
        "model": AnswerModel(temperature=0.3, lapse=0.0),
        "kind": Kind(shown),
        "most_alike": 0.95,
    }
    return Situation(**(given | changes))


@pytest.fixture
def draws() -> torch.Generator:
    return torch.Generator().manual_seed(0)
