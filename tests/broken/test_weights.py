"""Weights that others trained: of decoders, of published priors, of encoders."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import prefprior.world  # (registers the architecture of its CLIP)
from prefprior.data.embedding import encoders
from prefprior.data.embedding.encoders import OpenClipEncoder
from prefprior.decoders.kandinsky import Kandinsky, KandinskyImg2Img
from prefprior.models.prior.pretrained import from_prior_transformer
from prefprior.space import Space
from tests.broken.case import LFS, Case, Refused, all_of, case, cut, gone, instead, write
from tests.models.published import tiny_published

WORLD = Path(prefprior.__file__).parent / "world" / "weights" / "decoder"
UNET = "unet/diffusion_pytorch_model.safetensors"
COPY = "Give decoder.model=FOLDER of a downloaded copy"
UNREAD = "the weights of the decoder could not be read from"


def config(name: str, **changes: Any) -> Callable[[Path], Any]:
    def spoil(folder: Path) -> None:
        value = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**value, **changes}))

    return spoil


DECODERS = [
    case("no index of a pipeline", gone("model_index.json"), UNREAD, "model_index.json", COPY),
    case("an index cut short", cut("model_index.json", 20), UNREAD, "model_index.json", COPY),
    case("an index that is a list", write("model_index.json", "[]"), UNREAD, COPY),
    case("an index of nothing", write("model_index.json", "{}"), UNREAD, COPY),
    case("no network", lambda f: shutil.rmtree(f / "unet"), UNREAD, "config.json", COPY),
    case("a network whose config was cut", cut("unet/config.json", 20), UNREAD, "unet/config.json", COPY),
    case("a network of other sizes", config("unet/config.json", encoder_hid_dim=32), UNREAD, COPY),
    case("a network of no sizes", config("unet/config.json", block_out_channels=[3]), UNREAD, "block_out_channels", COPY),
    case("weights of a decoder that are gone", gone(UNET), UNREAD, "diffusion_pytorch_model", COPY),
    case("weights of a decoder cut short", cut(UNET, 5000), UNREAD, UNET, COPY),
    case("weights of a decoder of no bytes", write(UNET, b""), UNREAD, UNET, COPY),
    case("a Git LFS pointer for a decoder", write(UNET, LFS), UNREAD, "git lfs pull", COPY),
    case("a scheduler cut short", cut("scheduler/scheduler_config.json", 9), UNREAD, "scheduler_config.json", COPY),
]  # fmt: skip


@pytest.mark.parametrize("case", DECODERS, ids=str)
def test_decoders(case: Case, tmp_path: Path, refused: Refused) -> None:
    shutil.copytree(WORLD, tmp_path / "decoder")
    case.spoil(tmp_path / "decoder")
    refused(case, "weights: decoders", lambda: Kandinsky(model=str(tmp_path / "decoder"), space_name="world-clip"))


def saved(value: np.ndarray) -> Callable[[Path], Any]:
    return lambda folder: np.save(folder / "u.npy", value, allow_pickle=True)


def npz(folder: Path) -> None:
    with open(folder / "u.npy", "wb") as file:
        np.savez(file, np.zeros(64))


EMBED = "Embed a picture with the encoder of world-clip"
UNCONDITIONAL = [
    case("an embedding that is not there", gone("u.npy"), "there is no file", "u.npy", "Is the path right?"),
    case("an embedding from a FIFO", instead("u.npy", os.mkfifo), "u.npy is a FIFO", "Give the path of a file"),
    case("an embedding of no bytes", write("u.npy", b""), "u.npy is not a .npy file: it is empty", "numpy.save"),
    case("an embedding in text", write("u.npy", b"0.1 0.2"), "u.npy is not a .npy file", "numpy.save"),
    case("an embedding in an .npz", npz, "u.npy is not a .npy file: it is a zip archive", "numpy.save"),
    case("an embedding of objects", saved(np.asarray([{}], dtype=object)), "u.npy is not a complete .npy file", "make it again"),
    case("an embedding of words", saved(np.asarray(["a"] * 64)), "u.npy contains <U1 of 64 dimensions", EMBED),
    case("an embedding of another space", saved(np.zeros(3, np.float32)), "u.npy contains float32 of 3 dimensions", EMBED),
    case("an embedding that is NaN", saved(np.full(64, np.nan)), "u.npy contains float64 of 64 dimensions", "finite floats", EMBED),
]  # fmt: skip


@pytest.mark.parametrize("case", UNCONDITIONAL, ids=str)
def test_embeddings_of_decoders(case: Case, tmp_path: Path, refused: Refused) -> None:
    np.save(tmp_path / "u.npy", np.zeros(64, np.float32))
    case.spoil(tmp_path)
    decoder = {"model": str(WORLD), "space_name": "world-clip", "unconditional": str(tmp_path / "u.npy")}
    refused(case, "weights: decoders", lambda: Kandinsky(**decoder))


def test_pictures_of_decoders(tmp_path: Path, refused: Refused) -> None:
    told = case(
        "a picture to begin with that is none",
        write("a.png", b"x"),
        "cannot read image=",
        "a.png as a picture: unreadable: not a picture",
    )
    told.spoil(tmp_path)
    refused(told, "weights: decoders", lambda: KandinskyImg2Img(image=str(tmp_path / "a.png"), model=str(WORLD)))


WEIGHTS = "diffusion_pytorch_model.safetensors"
AGAIN = "Copy it again, or give another prior.pretrained"
PUBLISHED = [
    case("no config of a prior", gone("config.json"), "contains no config.json", "It must be the `prior` folder"),
    case("no weights of a prior", gone(WEIGHTS), f"contains no {WEIGHTS}", "with safetensors weights"),
    case("a config of a prior cut short", cut("config.json", 30), "config.json:", "not JSON", AGAIN),
    case("a config of a prior in a list", write("config.json", "[]"), "config.json: it is a list of 0; it must be a JSON object", AGAIN),
    case("a prior without heads", lambda f: write("config.json", json.dumps({k: v for k, v in json.loads((f / "config.json").read_text()).items() if k != "num_attention_heads"}))(f), "config.json: num_attention_heads is missing", AGAIN),
    case("heads in words", config("config.json", num_attention_heads="two"), "config.json: num_attention_heads is 'two'", AGAIN),
    case("no layers", config("config.json", num_layers=0), "config.json: num_layers is 0; it must be a whole number of at least 1", AGAIN),
    case("a prior of other dimensions", config("config.json", embedding_dim=16), "is a prior of 16 dimensions, but the space s has 12", "Embed with the encoder"),
    case("a prior with a part that ours has not", config("config.json", norm_in_type="layer"), "norm_in_type is 'layer'; only None is supported"),
    case("a prior whose config is another's", config("config.json", additional_embeddings=3), "additional_embeddings is 3", "belong to the same model?"),
    case("weights of a prior cut short", cut(WEIGHTS, -9), f"{WEIGHTS} is not a complete safetensors file", AGAIN),
    case("weights of a prior of no bytes", write(WEIGHTS, b""), f"{WEIGHTS} is not a complete safetensors file", AGAIN),
    case("a Git LFS pointer for a prior", write(WEIGHTS, LFS), f"{WEIGHTS} is a Git LFS pointer", "git lfs pull"),
]  # fmt: skip


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    tiny_published(folder, dim=12)
    return folder


@pytest.mark.parametrize("case", PUBLISHED, ids=str)
def test_published_priors(case: Case, published: Path, tmp_path: Path, refused: Refused) -> None:
    space = Space.measure("s", np.random.default_rng(0).normal(size=(20, 12)).astype(np.float32))
    shutil.copytree(published, tmp_path / "prior")
    case.spoil(tmp_path / "prior")
    refused(case, "weights: published priors", lambda: from_prior_transformer(tmp_path / "prior", space))


def pickled(folder: Path) -> None:
    (folder / "mine.pt").write_bytes(pickle.dumps(Path("x")))


def other_weights(folder: Path) -> None:
    torch.save({"x": torch.zeros(3)}, folder / "mine.pt")


def some_weights(folder: Path) -> None:
    values = load_file(Path(prefprior.__file__).parent / "world" / "weights" / "clip.safetensors")
    first = sorted(values)[0]
    save_file(
        {name: value.contiguous() for name, value in values.items() if name != first}, folder / "mine.safetensors"
    )
    shutil.move(folder / "mine.safetensors", folder / "mine.pt")


LOCAL = "Copy the file again, or give another encoder.pretrained"
ENCODERS = [
    case("weights of an encoder of no bytes", write("mine.pt", b""), "the weights of world-clip", "mine.pt) could not be loaded", LOCAL),
    case("weights of an encoder in text", write("mine.pt", b"no weights"), "mine.pt) could not be loaded", LOCAL),
    case("a pickle of something else", pickled, "mine.pt) could not be loaded", LOCAL),
    case("weights of another model", other_weights, "mine.pt) could not be loaded", LOCAL),
    case("weights of an encoder cut short", all_of(other_weights, cut("mine.pt", 300)), "mine.pt) could not be loaded", LOCAL),
    case("safetensors by another name", some_weights, "mine.pt) could not be loaded", LOCAL),
]  # fmt: skip


@pytest.mark.parametrize("case", ENCODERS, ids=str)
def test_encoders(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Refused) -> None:
    monkeypatch.setattr(encoders, "_BUNDLED", {})  # the world's CLIP is a model like any other then
    case.spoil(tmp_path)
    refused(
        case,
        "weights: encoders",
        lambda: OpenClipEncoder(model="world-clip", pretrained=str(tmp_path / "mine.pt")).model,
    )
