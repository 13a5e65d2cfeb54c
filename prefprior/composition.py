"""What more than one entry file builds from its configuration; only entry files import this."""

from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf

from prefprior.config import build, problems
from prefprior.data.datamodule import PreferenceDataModule

# What a checkpoint that says nothing of its data is taken to have been trained with.
DEFAULTS: dict[str, dict[str, Any]] = {
    "source": {},
    "embeddings": {"_target_": "prefprior.data.embedding_lookup.StoredEmbeddings"},
    "data": {"_target_": "prefprior.data.datamodule.PreferenceDataModule"},
}


def data_of_checkpoint(
    trained: Mapping[str, Any], *, source: Any = None, embeddings: Any = None, data: Any = None
) -> PreferenceDataModule:
    """The data of a training configuration (a checkpoint's `facts["train"]`), with what a command changes of it; ready.

    A whole `source` or `embeddings` (a node with `_target_`) replaces the checkpoint's; a few arguments change it.
    `data` only ever changes it: a user who was trained on must not become unseen because a command leaves the split
    out.
    """
    changes = {"source": source, "embeddings": embeddings, "data": data}
    nodes: dict[str, Any] = {}
    for name, change in changes.items():
        stored = OmegaConf.create(trained.get(name) or DEFAULTS[name])
        replaces = change is not None and name != "data" and "_target_" in change
        nodes[name] = OmegaConf.create(change) if replaces else OmegaConf.merge(stored, change or {})
    if "_target_" not in nodes["source"]:
        raise ValueError(
            "the checkpoint does not say what it was trained on: add source=... (for example source=world)"
        )
    if found := [line for name, node in nodes.items() for line in problems(node, name)]:
        raise ValueError("the configuration has problems:\n" + "\n".join(f"  - {line}" for line in found))
    module: PreferenceDataModule = build(
        nodes["data"],
        source=build(nodes["source"]),
        embeddings=build(nodes["embeddings"]),
        seed=trained.get("seed", 0),
    )
    module.setup()
    return module
