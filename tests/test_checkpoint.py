"""Checkpoints: loading gives the same predictor to the bit, and nothing that is damaged, foreign or unsafe loads."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from prefprior import checkpoint
from prefprior.inference.predictor import TrainedPredictor
from prefprior.models.diffusion.guidance import Guidance
from prefprior.models.diffusion.sampler import Sampler
from prefprior.models.diffusion.schedules import CosineSchedule
from prefprior.models.objectives.denoising import Denoising
from prefprior.space import Space
from tests.models.conftest import make_history, make_model, space  # noqa: F401 (a fixture)


@pytest.fixture
def saved(tmp_path: Path, space: Space) -> tuple[Path, TrainedPredictor]:  # noqa: F811
    predictor = TrainedPredictor(
        model=make_model(space, "identities"),
        objective=Denoising(schedule=CosineSchedule(shift=0.5), prediction="v"),
        sampler=Sampler(steps=3, guidance=Guidance(history=2.0, rating=0.5)),
        facts={"steps": 12},
    )
    path = tmp_path / "prior.safetensors"
    predictor.save(path)
    return path, predictor


def sample(predictor: TrainedPredictor) -> Tensor:
    return predictor.sample(make_history(3, 5), 4, torch.Generator().manual_seed(0))


def test_a_loaded_predictor_gives_the_same_output(saved: tuple[Path, TrainedPredictor]) -> None:
    path, predictor = saved
    loaded = TrainedPredictor.load(path)
    assert loaded.model.config == predictor.model.config
    assert loaded.objective.config == predictor.objective.config
    assert loaded.sampler.config == predictor.sampler.config
    assert loaded.facts == {"steps": 12}
    assert loaded.space.to_dict() == predictor.space.to_dict()
    assert torch.equal(sample(loaded), sample(predictor))


def test_equal_models_are_files_of_equal_bytes(saved: tuple[Path, TrainedPredictor]) -> None:
    path, predictor = saved
    for number in range(8):  # the library's own order differs from one file to the next
        again = path.with_name(f"again{number}.safetensors")
        predictor.save(again)
        assert again.read_bytes() == path.read_bytes()


def test_a_checkpoint_loads_in_a_fresh_process_from_another_folder(
    saved: tuple[Path, TrainedPredictor], tmp_path: Path
) -> None:
    path, predictor = saved
    code = (
        "import sys, torch; from prefprior import checkpoint; p = checkpoint.load(sys.argv[1]);"
        "print(sum(float(v.double().sum()) for v in p.model.state_dict().values()))"
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    root = str(Path(checkpoint.__file__).parents[1])
    ran = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        cwd=elsewhere, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": root},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert float(ran.stdout) == sum(float(v.double().sum()) for v in predictor.model.state_dict().values())


def changed(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    description = checkpoint.describe(path)
    change(description)
    rewritten(path, json.dumps(description))


def rewritten(path: Path, description: str) -> None:
    """The same weights, described otherwise, by somebody who puts in the right digest."""
    metadata = {"format": checkpoint.FORMAT, "prefprior": description, "sha256": checkpoint.NO_DIGEST}
    save_file(load_file(path), path, metadata=metadata)
    checkpoint.seal(path)


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "prefprior.files.write_text",
        "prefprior.models.diffusion.solvers.euler",
        "prefprior.models.nowhere.Prior",
    ],
)
def test_a_class_outside_prefprior_is_refused(saved: tuple[Path, TrainedPredictor], target: str) -> None:
    path, _ = saved
    changed(path, lambda d: d["objective"].update(_target_=target))
    with pytest.raises(ValueError, match=r"may only name|may name|there is no"):
        checkpoint.load(path)


def test_an_unknown_argument_is_named(saved: tuple[Path, TrainedPredictor]) -> None:
    path, _ = saved
    changed(path, lambda d: d["model"]["prior"].update(widht=3))
    with pytest.raises(ValueError, match=r"prior\.widht is unknown.*did you mean width"):
        checkpoint.load(path)


def test_weights_that_do_not_fit_are_refused(saved: tuple[Path, TrainedPredictor]) -> None:
    path, _ = saved
    changed(path, lambda d: d["model"]["prior"].update(depth=3))
    with pytest.raises(ValueError, match="does not fit its own configuration"):
        checkpoint.load(path)
    changed(path, lambda d: d["model"]["prior"].update(depth=2, width=64))
    with pytest.raises(ValueError, match="does not fit its own configuration"):
        checkpoint.load(path)


def test_a_truncated_file_is_refused(saved: tuple[Path, TrainedPredictor]) -> None:
    path, _ = saved
    whole = path.read_bytes()
    for keep in (0, 5, 200, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:keep])
        with pytest.raises(ValueError, match="damaged or is not a checkpoint"):
            checkpoint.load(path)


@pytest.mark.parametrize("place", [0.2, 0.5, 0.999])
def test_one_changed_bit_is_detected(saved: tuple[Path, TrainedPredictor], place: float) -> None:
    path, _ = saved
    data = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")  # of the weights
    data[start + int(place * (len(data) - start))] ^= 1
    path.write_bytes(data)
    with pytest.raises(
        ValueError, match=r"prior\.safetensors is damaged: its SHA-256 .* Copy it again, or train again"
    ):
        checkpoint.load(path)


def test_changed_metadata_is_detected(saved: tuple[Path, TrainedPredictor]) -> None:
    path, _ = saved
    path.write_bytes(path.read_bytes().replace(rb"\"steps\": 12", rb"\"steps\": 13"))
    with pytest.raises(ValueError, match="is damaged"):
        checkpoint.load(path)


def test_a_checkpoint_without_its_digest_is_refused(saved: tuple[Path, TrainedPredictor]) -> None:
    path, _ = saved
    description = json.dumps(checkpoint.describe(path))
    save_file(load_file(path), path, metadata={"format": checkpoint.FORMAT, "prefprior": description})
    with pytest.raises(ValueError, match="metadata has no SHA-256"):
        checkpoint.load(path)


def test_a_safetensors_file_without_our_metadata_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="not a prefprior checkpoint"):
        checkpoint.load(path)


def test_a_missing_file_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"python train\.py"):
        checkpoint.load(tmp_path / "prior.safetensors")


@pytest.mark.parametrize("number", [3, 4, 5, 6, 7])
def test_an_older_format_is_refused_with_its_number_and_the_remedy(
    saved: tuple[Path, TrainedPredictor], number: int
) -> None:
    path, _ = saved
    save_file(load_file(path), path, metadata={"format": f"prefprior-{number}", "prefprior": "{}"})
    with pytest.raises(ValueError, match=rf"format prefprior-{number}, this version reads prefprior-8\. Train again"):
        checkpoint.load(path)


def test_a_lightning_checkpoint_is_refused_with_an_explanation(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match=r"Lightning resumes training.*Give the run folder"):
        checkpoint.load(tmp_path / "last.ckpt")


def test_a_warm_start_loads_the_weights(saved: tuple[Path, TrainedPredictor], space: Space) -> None:  # noqa: F811
    model = make_model(space, "identities")
    torch.nn.init.normal_(next(model.parameters()))
    checkpoint.warm_start(model, saved[0])
    for name, value in saved[1].model.named_parameters():
        assert torch.equal(model.get_parameter(name), value), name


@pytest.mark.parametrize(
    ("retriever", "readouts", "named"),
    [
        ("shared", 4, "user_head.weight is missing in the file"),
        ("identities", 5, r"readouts\S* has shape 4 x 32 in the file and 5 x 32 in this model"),
    ],
)
def test_a_warm_start_that_does_not_fit_names_the_weights_and_changes_nothing(
    saved: tuple[Path, TrainedPredictor],
    space: Space,  # noqa: F811
    retriever: str,
    readouts: int,
    named: str,
) -> None:
    model = make_model(space, retriever, readouts=readouts)
    before = {name: value.clone() for name, value in model.named_parameters()}
    with pytest.raises(ValueError, match=f"(?s)do not fit this model:.*{named}.*Choose prior="):
        checkpoint.warm_start(model, saved[0])
    assert all(torch.equal(value, before[name]) for name, value in model.named_parameters())


def test_a_warm_start_needs_the_same_space(saved: tuple[Path, TrainedPredictor], space: Space) -> None:  # noqa: F811
    other = Space(name="other", mean_D=space.mean_D, std_D=space.std_D, norm=space.norm)
    with pytest.raises(ValueError, match="uses the space"):
        checkpoint.warm_start(make_model(other, "identities"), saved[0])
