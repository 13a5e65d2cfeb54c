"""`compile=true` changes the speed and nothing else."""

import shutil

import pytest
import torch

from prefprior.models.diffusion.schedules import Linear
from prefprior.models.objectives.denoising import Denoising
from prefprior.models.prior.prior import Prior
from tests.models.conftest import make_batch


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
@pytest.mark.parametrize("part", [0, 1], ids=["encoder", "denoiser"])
def test_a_compiled_network_has_the_same_loss_gradient_and_names(space, part) -> None:
    torch.manual_seed(0)
    prior = Prior(
        space=space, width=32, depth=1, heads=2, denoiser_width=32, denoiser_depth=1, denoiser_heads=2, frequencies=8
    )
    torch.nn.init.normal_(prior.denoiser.leave.weight, std=0.1)  # at 0 it would hide what the blocks say
    objective, names, found = Denoising(path=Linear(), prediction="velocity"), list(prior.state_dict()), []
    for compiled in (False, True):
        if compiled:
            prior.networks()[part].compile()
        prior.zero_grad()
        loss = objective.loss(prior, make_batch(), torch.Generator().manual_seed(0)).total
        loss.backward()
        found.append((loss.detach(), prior.denoiser.enter.weight.grad.clone()))
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5)
    assert list(prior.state_dict()) == names
