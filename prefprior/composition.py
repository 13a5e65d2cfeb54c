"""What more than one entry file builds from its configuration: the data of a checkpoint, the decoder of a space. Only
entry files import this.

A checkpoint names the classes of its data and their arguments. Its paths are for messages alone: `train` writes those
that commands read beside it, into `data.json`, which stays behind where a checkpoint is passed on. Neither goes through
Hydra or OmegaConf.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from prefprior.checkpoint import describe
from prefprior.config import argument, build, conf_folder, plain_node
from prefprior.data.datamodule import PreferenceDataModule
from prefprior.decoders.decoder import Decoder, require_space
from prefprior.decoders.default import default_decoder
from prefprior.decoders.retrieval import Retrieval
from prefprior.errors import sentence
from prefprior.files import read_json, write_json
from prefprior.nodes import (
    Find,
    Loadables,
    construct,
    importable,
    leaves,
    merged,
    problems,
    with_defaults,
    without_paths,
)
from prefprior.ratings import RatingsTable
from prefprior.runs import DATA

# Arguments of the data module about batches, which only training draws.
TRAINING_ONLY = {
    "batch_size", "epoch_batches", "workers", "pin_memory",
    "draws.history_cap", "draws.targets_per_user", "draws.short_histories",
    "draws.shown_histories", "draws.picks_alone", "draws.weighting", "draws.least_propensity",
}  # fmt: skip
NODES = ("source", "embeddings", "data")
DATA_PACKAGES = ("prefprior.data", "prefprior.world.source", "prefprior.studio.source")  # whose classes may be named
REMEDY = "Give the command a complete source=..., or restore the file that `python train.py` wrote."
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
    nodes, stored, where = _nodes_of_data(checkpoint, facts, source, embeddings, data, trust)
    built: dict[str, Any] = {}
    found = [line for name, (node, find) in nodes.items() for line in problems(node, name, find)]
    if "_target_" not in nodes["source"][0]:
        raise ValueError("the checkpoint does not record its training data: add source=... (for example source=world)")
    if found:
        raise ValueError(
            f"the data of {where} cannot be read:\n" + "\n".join(f"  - {_with_path(line, facts)}" for line in found)
        )
    target = nodes["data"][0].get("_target_")
    if target is None or not _is_data_module(nodes["data"][1](str(target))):
        raise ValueError(f"{where}: data._target_ is {target}, which is not a data module. {REMEDY}")
    seed = stored.get("seed", 0)
    try:
        for name in ("source", "embeddings"):
            built[name] = construct(*nodes[name])
        module = construct(*nodes["data"], **built, seed=seed if isinstance(seed, int) else 0)
    except (TypeError, AttributeError, OverflowError, ValueError) as error:  # of a value that no annotation rules out
        raise ValueError(f"the data of {where} cannot be read: {sentence(str(error))} {REMEDY}") from error
    module.setup()
    return module


def data_without_paths(
    checkpoint: Path,
    facts: Mapping[str, Any],
    *,
    source: Any = None,
    embeddings: Any = None,
    data: Any = None,
    trust: Sequence[str] = (),
) -> dict[str, Any]:
    """What `data_of_checkpoint` would build these data from, wherever they lie: nodes with all defaults, and without
    values for their paths."""
    nodes, _, _ = _nodes_of_data(checkpoint, facts, source, embeddings, data, trust)
    return {name: without_paths(with_defaults(node, find=find), find)[0] for name, (node, find) in nodes.items()}


def taken_over(checkpoint: Path) -> dict[str, Any]:
    """The nodes of a checkpoint's networks and of its data, for a training that goes on from it: they name only classes
    that a file may name, and what they say is plain."""
    description, find = describe(checkpoint), Loadables([*DATA_PACKAGES, "prefprior.models"])
    stored, where = _stored(checkpoint, description["facts"], find)
    model = description.get("model")
    found = {
        **(model if isinstance(model, dict) else {}),
        **{name: description.get(name) for name in ("objective", "sampler")},
        **{name: stored.get(name) or DEFAULTS[name] for name in NODES},
    }
    wrong = [line for name, node in found.items() for line in problems(node, name, find)]
    wrong += [f"{key} is not a plain value: {value}" for key, value in leaves(found).items() if "${" in str(value)]
    if "_target_" not in found["source"]:
        wrong.append("it does not record its training data")
    if wrong:
        raise ValueError(
            f"training cannot go on from {checkpoint} with the data of {where}:\n"
            + "\n".join(f"  - {_with_path(line, description['facts'])}" for line in wrong)
        )
    return found


def _nodes_of_data(
    checkpoint: Path | None, facts: Mapping[str, Any], source: Any, embeddings: Any, data: Any, trust: Sequence[str]
) -> tuple[dict[str, tuple[Any, Find]], Mapping[str, Any], str]:
    """The nodes of a checkpoint's data with what a command changes of them, each with what it may name; what was stored
    of them, and where."""
    find = Loadables([*DATA_PACKAGES, *trust])
    stored, where = _stored(checkpoint, facts, find)
    nodes: dict[str, tuple[Any, Find]] = {}
    changes = {
        name: plain_node(node) for name, node in (("source", source), ("embeddings", embeddings), ("data", data))
    }
    _require_effect(changes["data"])
    for name, change in changes.items():
        if name != "data" and isinstance(change, Mapping) and "_target_" in change:
            nodes[name] = change, importable  # the user's own
        else:
            assert change is None or isinstance(change, dict)
            old = stored.get(name) or DEFAULTS[name]
            if not isinstance(old, dict):
                raise ValueError(f"{where}: {name} is a {type(old).__name__}, not a JSON object. {REMEDY}")
            nodes[name] = merged(old, change or {}), find
    return nodes, stored, where


def _require_effect(data: Any) -> None:
    """Refuses arguments of the data module that only training reads."""
    inert = [f"data.{key}" for key in leaves(data) if key in TRAINING_ONLY] if isinstance(data, Mapping) else []
    if inert:
        raise ValueError(
            f"{', '.join(inert)} has no effect here: it only changes how training draws batches. Leave it out."
        )


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
            f"the decoder {name} needs embeddings of the space {claimed}, but the prior generates "
            f"embeddings of {space_name}. Choose a decoder of that space, or a prior trained on {claimed}."
        )
    decoder: Decoder = build(node, Decoder)
    require_space(decoder, space_name)
    return decoder


def _retrieval(node: Mapping[str, Any], data: PreferenceDataModule | None, space_name: str) -> Decoder:
    pictures = None if data is None else data.source.pictures()
    if data is None or pictures is None:
        raise ValueError(
            f"decoder=retrieval (the only one for spaces without a decoder, such as {space_name}) shows "
            "real pictures, but the pictures of the data were not found. Give their folder: "
            "source.pictures=FOLDER (of a table) or source.root=FOLDER (of a data set). python "
            "evaluate.py needs no pictures."
        )
    decoder: Decoder = build(node, Decoder, catalogue=data.catalogue, pictures=pictures)
    return decoder


def _stored(checkpoint: Path | None, facts: Mapping[str, Any], find: Find) -> tuple[Mapping[str, Any], str]:
    """What is known of the data, and where: with paths from the file beside the checkpoint, or without from itself."""
    beside = None if checkpoint is None else checkpoint.with_name(DATA)
    if beside is not None and beside.is_file():
        found = read_json(beside, REMEDY)
        if not isinstance(found, dict):
            raise ValueError(f"{beside} does not describe data: it is not a JSON object. {REMEDY}")
        return found, str(beside)
    where, found = str(checkpoint or "the checkpoint"), facts.get("data", {})
    if not isinstance(found, dict):
        raise ValueError(f"{where} does not describe data: facts.data is not a JSON object. {REMEDY}")
    return found | without_paths({name: found[name] for name in NODES if name in found}, find)[0], where


def _is_data_module(named: Any) -> bool:
    return isinstance(named, type) and issubclass(named, PreferenceDataModule)


def _with_path(line: str, facts: Mapping[str, Any]) -> str:
    """A missing path, with the one it had in training."""
    paths = facts.get("data", {}).get("paths", {}) if isinstance(facts.get("data"), dict) else {}
    key = line.split(" ", 1)[0]
    told = "has no value" in line and isinstance(paths, dict) and key in paths
    return f"{line} (in training: {paths[key]})" if told else line
