"""prefprior: a prior over the CLIP embeddings of pictures that a user would like, learned from ratings.

    run = prefprior.train("experiment=world", "trainer.max_epochs=2")      # the commands, as functions
    figures = prefprior.evaluate(f"checkpoint={run.folder}").metrics
    pipe = prefprior.load(run.folder)                                      # a trained prior, here or on the hub

Importing it is cheap: what a function needs is imported when it is first asked for.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefprior.elicit import elicit
    from prefprior.embed import embed
    from prefprior.evaluate import evaluate
    from prefprior.pipeline import PreferencePriorPipeline, load
    from prefprior.sample import sample
    from prefprior.serve import serve
    from prefprior.shard import shard
    from prefprior.train import train

__version__ = "0.1.0"
__all__ = ["PreferencePriorPipeline", "elicit", "embed", "evaluate", "load", "sample", "serve", "shard", "train"]

_HOMES = {name: f"prefprior.{name}" for name in ("elicit", "embed", "evaluate", "sample", "serve", "shard", "train")}
_HOMES |= {"load": "prefprior.pipeline", "PreferencePriorPipeline": "prefprior.pipeline"}


class _Public:
    """A function or class that is imported when it is first asked for.

    `prefprior.train` is a function and a module. As an attribute it is the function, also once Python has imported the
    module and wants to set the attribute to it; `from prefprior.train import ...` finds the module all the same.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, package: Any, owner: type) -> Any:
        return getattr(import_module(_HOMES[self.name]), self.name)

    def __set__(self, package: Any, value: Any) -> None:
        pass


sys.modules[__name__].__class__ = type("Package", (ModuleType,), {name: _Public(name) for name in _HOMES})
