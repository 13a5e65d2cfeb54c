"""The data of a checkpoint, with what a command changes of it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prefprior.composition import build_decoder, data_of_checkpoint, decoder_node, facts_of_data
from prefprior.config import conf_folder
from prefprior.decoders.default import DEFAULT_DECODERS
from prefprior.runs import DATA

TABLE = "prefprior.data.sources.table.TableSource"
IN_TIME = {"_target_": "prefprior.data.histories.draws.DrawRule", "order": "time"}
MODULE = "prefprior.data.datamodule.PreferenceDataModule"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A training configuration over a small table whose users are split by hash."""
    folder = tmp_path_factory.mktemp("composition")
    np.save(folder / "e.npy", np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32))
    (folder / "ids.txt").write_text("".join(f"p{i}\n" for i in range(20)))
    for name, count in (("r", 12), ("few", 6)):
        rows = [f"u{user},p{(user + i) % 20},{i % 2}" for user in range(count) for i in range(8)]
        (folder / f"{name}.csv").write_text("\n".join(["user,item,rating", *rows]) + "\n")
    return {
        "source": source(folder, "r.csv"),
        "data": {
            "_target_": MODULE,
            "splits": {"_target_": "prefprior.data.splits.Splits", "by": "user", "val": 0.5, "test": 0.0},
        },
        "seed": 3,
    }


def beside(trained: dict[str, Any]) -> Path:
    """A checkpoint with that data beside it."""
    folder = Path(trained["source"]["ratings"]).parent
    (folder / DATA).write_text(json.dumps(trained))
    return folder / "prior.safetensors"


def source(folder: Path, ratings: str) -> dict[str, str]:
    return {
        "_target_": TABLE,
        "ratings": str(folder / ratings),
        "embeddings": str(folder / "e.npy"),
        "items": str(folder / "ids.txt"),
    }


def test_the_default_is_the_training_data(trained: dict[str, Any]) -> None:
    data = data_of_checkpoint(beside(trained), {})
    assert (len(data.ratings.users), data.splits.val, data.seed) == (12, 0.5, 3)


def test_source_arguments_override_the_checkpoints(trained: dict[str, Any]) -> None:
    few = trained["source"]["ratings"].replace("r.csv", "few.csv")
    assert len(data_of_checkpoint(beside(trained), {}, source={"ratings": few}).ratings.users) == 6


def test_a_source_replaces_the_checkpoints(trained: dict[str, Any]) -> None:
    whole = {**trained["source"], "embeddings": None, "items": None}
    with pytest.raises(ValueError, match="embeddings"):
        data_of_checkpoint(beside(trained), {}, source=whole)


def test_a_data_node_keeps_the_split(trained: dict[str, Any]) -> None:
    data = data_of_checkpoint(beside(trained), {}, data={"_target_": MODULE, "draws": IN_TIME})
    assert (data.draws.order, data.splits.val) == ("time", 0.5)


@pytest.mark.parametrize("change", [{"batch_size": 8}, {"draws": {"history_cap": 32}}, {"workers": 4}])
def test_keys_that_only_training_reads_are_refused(trained: dict[str, Any], change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"data\.(batch_size|draws\.history_cap|workers) has no effect here"):
        data_of_checkpoint(beside(trained), {}, data=change)


def test_a_checkpoint_without_data_needs_a_source() -> None:
    with pytest.raises(ValueError, match=r"add source=\.\.\."):
        data_of_checkpoint(None, {})


def test_all_unknown_keys_are_named(trained: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"source\.raings is unknown[^$]*data\.splits\.vall is unknown"):
        data_of_checkpoint(beside(trained), {}, source={"raings": "r.csv"}, data={"splits": {"vall": 0.1}})


def test_paths_are_in_data_json_and_not_in_the_checkpoint(trained: dict[str, Any], tmp_path: Path) -> None:
    config = {**trained, "embeddings": {"_target_": "prefprior.data.embedding_lookup.StoredEmbeddings"}}
    facts = facts_of_data(tmp_path, config)
    assert facts["source"]["ratings"] == "???"
    assert facts["paths"]["source.ratings"] == trained["source"]["ratings"]
    data = data_of_checkpoint(tmp_path / "prior.safetensors", {})
    assert len(data.ratings.users) == 12
    (tmp_path / DATA).unlink()
    with pytest.raises(ValueError, match=r"add source\.ratings=\.\.\. to the command \(in training: .*r\.csv\)"):
        data_of_checkpoint(tmp_path / "prior.safetensors", {"data": facts})


@pytest.mark.parametrize(
    "target",
    [
        "pandas.read_pickle",
        "torch.load",
        "shutil.copyfile",
        "pathlib.Path.write_text",
        "os.symlink",
        "os.system",
        "builtins.open",
        "prefprior.files.os.remove",
        "prefprior.files.write_text",
        "lightning.pytorch.loggers.CSVLogger",
        "lightning.pytorch.cli.LightningCLI",
        "prefprior.train.run",
    ],
)
@pytest.mark.parametrize("name", ["source", "embeddings", "data"])
def test_a_file_may_name_only_loadable_classes_of_prefprior(trained: dict[str, Any], name: str, target: str) -> None:
    spoiled = {**trained, name: {"_target_": target}}
    folder = Path(trained["source"]["ratings"]).parent
    for facts in ({"data": spoiled}, {}):
        (folder / DATA).write_text(json.dumps(spoiled if not facts else trained))
        path = folder / "prior.safetensors" if not facts else None
        with pytest.raises(ValueError, match=r"may name only classes|is not a class that a file may name|there is no"):
            data_of_checkpoint(path, facts)


def test_strings_in_a_file_are_not_interpolated(trained: dict[str, Any], tmp_path: Path) -> None:
    """An interpolation would have Hydra build whatever it names."""
    marker = tmp_path / "ran"
    evil = f"${{oc.create:{{_target_: builtins.open, file: {marker}, mode: w}}}}"
    spoiled = {**trained, "source": {**trained["source"], "name": evil}}
    with pytest.raises(ValueError, match="name"):
        data_of_checkpoint(beside(spoiled), {})
    assert not marker.exists()


def test_deep_nesting_is_refused(trained: dict[str, Any]) -> None:
    deep: Any = "user"
    for _ in range(100):
        deep = {"a": deep}
    with pytest.raises(ValueError, match="levels deep"):
        data_of_checkpoint(beside({**trained, "data": deep}), {})


def test_a_path_inside_a_checkpoint_is_not_read(trained: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"source\.ratings has no value"):
        data_of_checkpoint(None, {"data": trained})


def test_a_path_inside_a_checkpoint_is_not_written_to(tmp_path: Path) -> None:
    """The world keeps its embeddings under its root."""
    node = {"_target_": "prefprior.world.source.WorldSource", "root": str(tmp_path / "anywhere"), "pictures": 200}
    with pytest.raises(ValueError, match=r"source\.root has no value: add source\.root=\.\.\. to the command"):
        data_of_checkpoint(None, {"data": {"source": node}})
    assert not list(tmp_path.iterdir())


def test_the_default_decoder_fits_the_space() -> None:
    assert decoder_node(None, "world-clip")["_target_"].endswith(".Kandinsky")


def test_a_space_without_a_decoder_defaults_to_retrieval() -> None:
    assert decoder_node(None, "mine")["_target_"].endswith(".Retrieval")


def test_arguments_change_the_default_decoder() -> None:
    node = decoder_node({"steps": 2, "runtime": {"batch_size": 3}}, "world-clip")
    assert (node["steps"], node["size"], node["runtime"]["batch_size"]) == (2, 64, 3)


def test_a_chosen_decoder_replaces_the_default() -> None:
    chosen = {"_target_": "prefprior.decoders.retrieval.Retrieval"}
    assert decoder_node(chosen, "world-clip") == chosen


def test_an_unknown_argument_of_a_decoder_is_named() -> None:
    with pytest.raises(ValueError, match=r"decoder\.stepz is unknown.*did you mean steps"):
        decoder_node({"stepz": 2}, "world-clip")


@pytest.mark.parametrize("option", DEFAULT_DECODERS.values())
def test_default_decoders_are_options_of_the_config_group(option: str) -> None:
    assert (conf_folder() / "decoder" / f"{option}.yaml").is_file()


def test_retrieval_needs_pictures() -> None:
    with pytest.raises(ValueError, match=r"source\.pictures=FOLDER"):
        build_decoder(decoder_node(None, "mine"), None, "mine")


def test_a_foreign_decoder_is_refused_with_both_spaces() -> None:
    with pytest.raises(
        ValueError, match="embeddings of the space world-clip, but the prior generates embeddings of mine"
    ):
        build_decoder(decoder_node(None, "world-clip"), None, "mine")
