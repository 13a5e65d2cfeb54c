"""Training with the weights themselves split among processes (FSDP2), for priors that do not fit a GPU whole.

Each process keeps its share of every weight, gradient and optimizer state, and gathers a block's weights while it is
at work. Checkpoints, Lightning's and ours, hold the whole weights: they do not know that they were ever split.
"""

from typing import Any

from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method

from prefprior.models.model import PreferenceModel
from prefprior.models.module import PreferenceModule
from prefprior.nodes import importable

# What is called of each component: neither has a `forward`, and these are what gathers its weights.
PRIOR_CALLS = ("encode_history", "condition", "predict")
RETRIEVER_CALLS = ("user_tokens", "training_step")


class FSDPStrategy(ModelParallelStrategy):
    """Lightning's strategy, with all processes sharing the batch and none a matrix, and one file for a checkpoint."""

    def __init__(self) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False)

    def setup_environment(self) -> None:
        """Now it is known how many processes there are, and what they are to do."""
        if not isinstance(self.lightning_module, FSDPPreferenceModule):
            raise ValueError("trainer=fsdp is only for training. Give trainer=ddp, or trainer=gpu.")
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()


class FSDPPreferenceModule(PreferenceModule):
    """The same training, with the prior's weights split."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        if self.compile_prior:
            raise ValueError("compile=true is not supported with trainer=fsdp. Leave one of them out.")
        for part in self.model.modules():  # a number cannot be split, a vector of one can
            for name, value in list(part.named_parameters(recurse=False)):
                if value.ndim == 0:
                    setattr(part, name, nn.Parameter(value.detach().view(1), requires_grad=value.requires_grad))

    def configure_model(self) -> None:
        """Splits block by block, and what is left as one part that stays gathered from first use to the backward."""
        assert self.device_mesh is not None
        mesh = self.device_mesh["data_parallel"]
        for component, calls in ((self.model.prior, PRIOR_CALLS), (self.model.retriever, RETRIEVER_CALLS)):
            if component is None or isinstance(component, FSDPModule):
                continue
            for blocks in (part for part in component.modules() if isinstance(part, nn.ModuleList)):
                for block in blocks:
                    # A block, not a layer, and one that is called as such: others would be called ungathered.
                    if len(list(block.children())) > 1 and type(block).forward is not nn.Module.forward:
                        fully_shard(block, mesh=mesh)
            fully_shard(component, mesh=mesh, reshard_after_forward=False)
            for call in calls:
                register_fsdp_forward_method(component, call)


def whole(model: PreferenceModel, state: dict[str, Any]) -> PreferenceModel:
    """The model with whole weights, from a module's gathered `state`."""
    made = PreferenceModel.from_config(model.config, model.prior.space, importable)
    own = made.state_dict()
    named = {name.removeprefix("model."): value for name, value in state.items()}
    made.load_state_dict({name: _shaped(value, own.get(name)) for name, value in named.items()})
    return made


def _shaped(value: Tensor, like: Tensor | None) -> Tensor:
    """A number that was trained as a vector of one is a number again."""
    return value.view_as(like) if like is not None and like.numel() == value.numel() else value
