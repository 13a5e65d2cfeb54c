"""Training with the weights themselves split among processes (FSDP2), for priors that do not fit a GPU whole.

Each process keeps its share of every weight, gradient and optimizer state, and gathers a block's weights while it is
at work. Checkpoints, Lightning's and ours, hold the whole weights: they do not know that they were ever split.
"""

from typing import Any

from lightning.pytorch.strategies import ModelParallelStrategy
from torch import nn
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method

from prefprior.models.module import PreferenceModule
from prefprior.models.prior.network import Backbone
from prefprior.models.recorded import from_node

CALLS = ("encode_history", "null_history", "condition", "predict")


class Sharding(ModelParallelStrategy):
    """Lightning's strategy, with all processes sharing the batch and none a matrix, and one file for a checkpoint."""

    def __init__(self) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False)

    def setup_environment(self) -> None:
        """Now it is known how many processes there are, and what they are to do."""
        if not isinstance(self.lightning_module, ShardedModule):
            raise ValueError("trainer=fsdp is for training alone. Give trainer=ddp, or trainer=gpu.")
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()


class ShardedModule(PreferenceModule):
    """The same training, with the prior's weights split."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        if self.compile_prior:
            raise ValueError("compile=true has not been seen to work with trainer=fsdp. Leave one of them out.")
        for part in self.prior.modules():  # a number cannot be split, a vector of one can
            for name, value in list(part.named_parameters(recurse=False)):
                if value.ndim == 0:
                    setattr(part, name, nn.Parameter(value.detach().view(1), requires_grad=value.requires_grad))

    def configure_model(self) -> None:
        """Splits block by block, and what is left as one part that stays gathered from first use to the backward."""
        if isinstance(self.prior, FSDPModule):
            return
        assert self.device_mesh is not None
        mesh = self.device_mesh["data_parallel"]
        for blocks in (part for part in self.prior.modules() if isinstance(part, nn.ModuleList)):
            for block in blocks:
                # A block, not a layer, and one that is called as such: what else it has would be called ungathered.
                if len(list(block.children())) > 1 and type(block).forward is not nn.Module.forward:
                    fully_shard(block, mesh=mesh)
        fully_shard(self.prior, mesh=mesh, reshard_after_forward=False)
        for call in CALLS:  # a prior has no `forward`; these are what gathers its weights
            register_fsdp_forward_method(self.prior, call)


def whole(prior: Backbone, state: dict[str, Any]) -> Backbone:
    """The prior with whole weights, from a module's gathered `state`."""
    made: Backbone = from_node(prior.config, space=prior.space)
    own = made.state_dict()
    named = {name.removeprefix("prior."): value for name, value in state.items()}
    made.load_state_dict({name: value.view_as(own[name]) for name, value in named.items()})
    return made
