"""What more than one entry file builds from its configuration: the data of a checkpoint, the decoder of a space. Only
entry files import this.

A checkpoint names the classes of its data and their arguments, but no path: `train` writes those beside it, into
`data.json`, which stays behind where a checkpoint is passed on. Neither goes through Hydra or OmegaConf.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from prefprior.config import argument, build, conf_folder, plain_node
from prefprior.data.datamodule import PreferenceDataModule
from prefprior.decoders.decoder import Decoder, require_space
from prefprior.decoders.default import default_decoder
from prefprior.decoders.retrieval import Retrieval
from prefprior.files import read_json, write_json
from prefprior.nodes import Find, Loadables, construct, importable, merged, problems, without_paths
from prefprior.ratings import RatingsTable
from prefprior.runs import DATA

NODES = ("source", "embeddings", "data")
# What a checkpoint that says nothing of its data is taken to have been trained with.
DEFAULTS: dict[str, dict[str, Any]] = {
    "source": {},
    "embeddings": {"_target_": "prefprior.data.embedding_lookup.StoredEmbeddings"},
    "data": {"_target_": "prefprior.data.datamodule.PreferenceDataModule"},
}


def facts_of_data(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Writes where a run's data lie beside its checkpoint; returns what the checkpoint itself says of them."""
    nodes = {name: config[name] for name in NODES}
    write_json(folder / DATA, {**nodes, "seed": config["seed"]})
    bare, paths = without_paths(nodes, importable)
    return {**bare, "seed": config["seed"], "paths": {key: str(value) for key, value in paths.items()}}


def data_of_checkpoint(
    checkpoint: Path | None,
    facts: Mapping[str, Any],
    *,
    source: Any = None,
    embeddings: Any = None,
    data: Any = None,
    trust: Sequence[str] = (),
) -> PreferenceDataModule:
    """The data a checkpoint was trained on, with what a command changes of it; ready.

    A whole `source` or `embeddings` (a node with `_target_`) replaces the checkpoint's; a few arguments change it.
    `data` only ever changes it: a user who was trained on must not become unseen because a command leaves the split
    out.
    """
    find = Loadables(["prefprior.data", "prefprior.world.source", *trust])
    stored = _stored(checkpoint, facts, find)
    built: dict[str, Any] = {}
    found: list[str] = []
    nodes: dict[str, tuple[Any, Any]] = {}
    for name, change in {"source": source, "embeddings": embeddings, "data": data}.items():
        change = plain_node(change)
        if name != "data" and isinstance(change, Mapping) and "_target_" in change:
            nodes[name] = change, importable  # the user's own
        else:
            assert change is None or isinstance(change, dict)
            old = stored.get(name) or DEFAULTS[name]
            if not isinstance(old, dict):
                raise ValueError(f"{checkpoint} does not describe its data: {name} is {type(old).__name__}")
            nodes[name] = merged(old, change or {}), find
        found += problems(nodes[name][0], name, nodes[name][1])
    if "_target_" not in nodes["source"][0]:
        raise ValueError(
            "the checkpoint does not say what it was trained on: add source=... (for example source=world)"
        )
    if found:
        raise ValueError("the data cannot be read:\n" + "\n".join(f"  - {_with_path(line, facts)}" for line in found))
    seed = stored.get("seed", 0)
    try:
        for name in ("source", "embeddings"):
            built[name] = construct(*nodes[name])
        module = construct(*nodes["data"], **built, seed=seed if isinstance(seed, int) else 0)
    except (TypeError, AttributeError, OverflowError) as error:  # of a value that no annotation rules out
        raise ValueError(f"the data cannot be read: {error}") from error
    if not isinstance(module, PreferenceDataModule):
        raise ValueError(f"data._target_ is {nodes['data'][0].get('_target_')}, which is no data module")
    module.setup()
    return module


def training_part(
    checkpoint: Path, facts: Mapping[str, Any], data: PreferenceDataModule, trust: Sequence[str] = ()
) -> RatingsTable | None:
    """What a checkpoint was trained on: the training part of `data`, or that of its own data where it is another.

    None where it is not at hand, or has changed since.
    """
    digest = facts.get("training")
    if digest == data.training_digest:
        return data.part("train")
    try:
        own = data_of_checkpoint(checkpoint, facts, trust=trust)
    except ValueError:
        return None
    return own.part("train") if digest in (None, own.training_digest) else None


def decoder_node(chosen: Any, space_name: str) -> dict[str, Any]:
    """The decoder's node: the chosen one, or the space's default with the arguments that the command gives."""
    chosen = plain_node(chosen) or {}
    if "_target_" in chosen:
        return dict(chosen)
    path = conf_folder() / "decoder" / f"{default_decoder(space_name)}.yaml"
    node = merged(yaml.safe_load(path.read_text(encoding="utf-8")), chosen)
    if found := problems(node, "decoder"):
        raise ValueError("the configuration has problems:\n" + "\n".join(f"  - {line}" for line in found))
    return node


def build_decoder(node: Mapping[str, Any], data: PreferenceDataModule | None, space_name: str) -> Decoder:
    """A decoder of that space; a foreign one is refused before its gigabytes are looked for."""
    name = str(node["_target_"]).rsplit(".", 1)[-1]
    if name == Retrieval.__name__:
        return _retrieval(node, data, space_name)
    claimed = argument(node, "space_name")
    if claimed not in (None, space_name):
        raise ValueError(
            f"the decoder {name} understands embeddings of {claimed}, but the prior makes those of {space_name}. "
            f"Choose a decoder of that space, or a prior trained on {claimed}."
        )
    decoder: Decoder = build(node)
    require_space(decoder, space_name)
    return decoder


def _retrieval(node: Mapping[str, Any], data: PreferenceDataModule | None, space_name: str) -> Decoder:
    pictures = None if data is None else data.source.pictures()
    if data is None or pictures is None:
        raise ValueError(
            "decoder=retrieval shows real pictures (all there is for a space without a decoder, such as "
            f"{space_name}), and those of the data are not at hand. If you have them, say where: "
            "source.pictures=FOLDER (of a table) or source.root=FOLDER (of a data set). python evaluate.py needs none."
        )
    decoder: Decoder = build(node, catalogue=data.catalogue, pictures=pictures)
    return decoder


def _stored(checkpoint: Path | None, facts: Mapping[str, Any], find: Find) -> Mapping[str, Any]:
    """What is known of the data: with paths from the file beside the checkpoint, without them from the checkpoint."""
    beside = None if checkpoint is None else checkpoint.with_name(DATA)
    own = beside is not None and beside.is_file()
    found = read_json(beside) if own and beside is not None else facts.get("data", {})
    if not isinstance(found, dict):
        raise ValueError(f"{beside if own else checkpoint} does not describe data: it is no JSON object")
    if own:
        return found
    return found | without_paths({name: found[name] for name in NODES if name in found}, find)[0]


def _with_path(line: str, facts: Mapping[str, Any]) -> str:
    """A missing path, with the one it had in training."""
    paths = facts.get("data", {}).get("paths", {}) if isinstance(facts.get("data"), dict) else {}
    key = line.split(" ", 1)[0]
    told = "has no value" in line and isinstance(paths, dict) and key in paths
    return f"{line} (in training it was {paths[key]})" if told else line
