"""`compile=true` changes the speed and nothing else."""

import shutil
from typing import Any

import pytest
import torch

from prefprior.models.diffusion.schedules import LinearSchedule
from prefprior.models.objectives.denoising import Denoising
from prefprior.space import Space
from tests.models.conftest import losses, make_batch, make_model, total


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
@pytest.mark.parametrize("part", [0, 1], ids=["encoder", "denoiser"])
def test_a_compiled_network_has_the_same_loss_gradient_and_names(space: Space, part: int) -> None:
    torch.manual_seed(0)
    model = make_model(space, "identity", depth=1, heads=2)
    prior: Any = model.prior
    objective, names, found = Denoising(schedule=LinearSchedule(), prediction="velocity"), list(prior.state_dict()), []
    for compiled in (False, True):
        if compiled:
            prior.networks()[part].compile()
        model.zero_grad()
        loss = total(losses(model, objective, make_batch()))
        loss.backward()
        found.append((loss.detach(), prior.denoiser.enter.weight.grad.clone()))
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5)
    assert list(prior.state_dict()) == names
