"""Each decoder, on a tiny pipeline of its own classes read from disk: every picture of a batch is what it is alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from PIL import Image

from prefprior import hub
from prefprior.decoders.decoder import Decoder, repainter, require_space
from prefprior.decoders.diffusers_decoder import Runtime
from prefprior.decoders.ip_adapter import AdapterWeights, IPAdapter, LoraWeights, Scheduler
from prefprior.decoders.kandinsky import Kandinsky, KandinskyControlnet, KandinskyImg2Img
from prefprior.decoders.karlo import Karlo
from prefprior.decoders.safety import DiffusersSafety, blurred_card
from prefprior.decoders.stable_unclip import StableUnclip
from tests.decoders import tiny


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pipelines")


def make(name: str, root: Path, runtime: Runtime) -> Any:
    folder = root / name
    fresh = not folder.exists()
    if name in {"kandinsky", "img2img"}:
        model = str(tiny.kandinsky(folder) if fresh else folder)
        if name == "kandinsky":
            return Kandinsky(model=model, space_name="tiny", steps=2, size=32, runtime=runtime)
        picture = root / "start.png"
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(picture)
        return KandinskyImg2Img(
            image=str(picture), strength=0.5, model=model, space_name="tiny", steps=4, size=32, runtime=runtime
        )
    if name == "controlnet":
        model = str(tiny.kandinsky(folder, hint=True) if fresh else folder)
        depth = root / "depth.png"
        Image.linear_gradient("L").save(depth)
        return KandinskyControlnet(depth=str(depth), model=model, space_name="tiny", steps=2, size=64, runtime=runtime)
    if name == "karlo":
        model = str(tiny.karlo(folder) if fresh else folder)
        return Karlo(model=model, space_name="tiny", steps=2, upscale_steps=2, runtime=runtime)
    if name == "stable_unclip":
        model = str(tiny.stable_unclip(folder) if fresh else folder)
        return StableUnclip(model=model, space_name="tiny", steps=2, size=32, noise_level=100, runtime=runtime)
    family = name.split("_")[0]
    if fresh:
        tiny.adapter(root / f"{name}_adapter", tiny.stable_diffusion(folder, family))
    return IPAdapter(
        family=family, model=str(folder), adapter=adapter_of(root, name), space_name="tiny", steps=2, size=32,
        runtime=runtime,
        **({"scheduler": Scheduler(name="LCMScheduler"), "guidance": 1.0} if name.endswith("lcm") else {}),
    )  # fmt: skip


def adapter_of(root: Path, name: str) -> AdapterWeights:
    return AdapterWeights(model=str(root / f"{name}_adapter"), folder="sdxl_models", weight="tiny.safetensors")


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def pixels(pictures: list[Image.Image]) -> np.ndarray:
    return np.stack([np.asarray(picture, dtype=np.int16) for picture in pictures])


@pytest.mark.parametrize(
    "name",
    ["kandinsky", "img2img", "controlnet", "karlo", "stable_unclip", "sd15", "sdxl", "sdxl_lcm"],
)
def test_a_picture_does_not_depend_on_its_batch(name: str, folders: Path) -> None:
    decoder = make(name, folders, Runtime(batch_size=3))
    given = torch.randn(4, decoder.dim, generator=torch.Generator().manual_seed(3))
    negative = -given.flip(0) if decoder.takes_negative else None
    prompt = "cat" if decoder.takes_prompt else None
    together = pixels(decoder.decode(given, negative_BD=negative, prompt=prompt, generators=generators(1, 2, 3, 4)))
    for i in range(4):
        alone = pixels(
            decoder.decode(
                given[i : i + 1], negative_BD=None if negative is None else negative[i : i + 1], prompt=prompt,
                generators=generators(i + 1),
            )
        )  # fmt: skip
        assert np.abs(together[i] - alone[0]).max() <= 1  # rounding to 8 bits
    # The same noise with another embedding is another picture: the embedding is really read.
    other = pixels(
        decoder.decode(5 * given.flip(0), negative_BD=negative, prompt=prompt, generators=generators(1, 2, 3, 4))
    )
    assert (np.abs(other - together).max(axis=(1, 2, 3)) > 2).all()


def started(decoder: Kandinsky, strength: float, given: torch.Tensor, *seeds: int) -> np.ndarray:
    """Repainted from one picture."""
    picture = Image.linear_gradient("L").resize((32, 32)).convert("RGB")
    made = decoder.repaint(picture, given, strength=strength, negative_BD=None, generators=generators(*seeds))
    return pixels(made)


def test_a_repainted_picture_does_not_depend_on_its_batch(folders: Path) -> None:
    decoder = make("kandinsky", folders, Runtime(batch_size=2))
    given = torch.randn(3, decoder.dim, generator=torch.Generator().manual_seed(0))
    together = started(decoder, 0.5, given, 1, 2, 3)
    for i in range(3):
        assert np.abs(together[i] - started(decoder, 0.5, given[i : i + 1], i + 1)[0]).max() <= 1


def test_repainting_reads_the_embedding_and_leaves_plain_decoding_as_it_was(folders: Path) -> None:
    decoder = make("kandinsky", folders, Runtime())
    given = torch.randn(1, decoder.dim, generator=torch.Generator().manual_seed(0))
    plain = pixels(decoder.decode(given, negative_BD=None, prompt=None, generators=generators(0)))
    assert np.abs(started(decoder, 0.5, given, 0) - started(decoder, 0.5, -5 * given, 0)).max() > 2
    np.testing.assert_array_equal(
        plain, pixels(decoder.decode(given, negative_BD=None, prompt=None, generators=generators(0)))
    )


@pytest.mark.parametrize("strength", [0.0, 0.2, 1.5])
def test_a_strength_of_repainting_without_steps_is_refused(folders: Path, strength: float) -> None:
    decoder = make("kandinsky", folders, Runtime())  # of 2 steps
    with pytest.raises(ValueError, match=r"repaint must be in \(0, 1\] and leave at least one of 2 steps"):
        started(decoder, strength, torch.zeros(1, decoder.dim), 0)


def test_only_decoders_that_can_start_from_a_picture_are_repainters(folders: Path) -> None:
    known = {
        name: repainter(make(name, folders, Runtime())) is not None for name in ("kandinsky", "controlnet", "karlo")
    }
    assert known == {"kandinsky": True, "controlnet": False, "karlo": False}


@pytest.mark.parametrize("name", ["kandinsky", "sdxl"])
def test_negative_embeddings_change_the_pictures(name: str, folders: Path) -> None:
    decoder = make(name, folders, Runtime())
    given = torch.randn(1, decoder.dim, generator=torch.Generator().manual_seed(0))
    plain = pixels(decoder.decode(given, negative_BD=None, prompt=None, generators=generators(0)))
    bent = pixels(decoder.decode(given, negative_BD=4 * given.flip(1), prompt=None, generators=generators(0)))
    assert np.abs(plain - bent).max() > 2


def test_scale_weighs_the_embedding_against_the_prompt(folders: Path) -> None:
    decoder = make("sdxl", folders, Runtime())
    assert isinstance(decoder, IPAdapter)
    given = torch.randn(2, decoder.dim, generator=torch.Generator().manual_seed(0))
    same_noise = {"negative_BD": None, "prompt": "dog", "generators": generators(5, 5)}
    decoder.scale = 0.0  # words alone: both embeddings give one picture
    first, second = pixels(decoder.decode(given, **same_noise))
    assert np.abs(first - second).max() <= 1
    decoder.scale = 1.0
    first, second = pixels(decoder.decode(given, **{**same_noise, "generators": generators(5, 5)}))
    assert np.abs(first - second).max() > 2


def test_a_lora_changes_the_pictures_and_the_identity(folders: Path, tmp_path: Path) -> None:
    plain = make("sd15_lcm", folders, Runtime())
    lora = tiny.lora(tmp_path / "lora", folders / "sd15_lcm")
    lively = IPAdapter(
        family="sd15", model=str(folders / "sd15_lcm"), adapter=adapter_of(folders, "sd15_lcm"), space_name="tiny",
        steps=2, size=32, scheduler=Scheduler(name="LCMScheduler"), guidance=1.0,
        lora=LoraWeights(model=str(lora), weight="pytorch_lora_weights.safetensors"),
    )  # fmt: skip
    given = torch.randn(2, plain.dim, generator=torch.Generator().manual_seed(0))
    made = [d.decode(given, negative_BD=None, prompt="cat", generators=generators(1, 2)) for d in (plain, lively)]
    assert np.abs(pixels(made[0]) - pixels(made[1])).max() > 2
    assert lively.identity == f"{plain.identity.split(' + ')[0]} + {lora}/pytorch_lora_weights.safetensors" + "".join(
        f" + {part}" for part in plain.identity.split(" + ")[1:]
    )


def test_a_lora_without_peft_is_an_error_with_the_install_command(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("sd15_lcm", folders, Runtime())
    monkeypatch.setattr("prefprior.decoders.ip_adapter.is_peft_available", lambda: False)
    with pytest.raises(ValueError, match="pip install"):
        IPAdapter(
            family="sd15", model=str(folders / "sd15_lcm"), adapter=adapter_of(folders, "sd15_lcm"), space_name="tiny",
            lora=LoraWeights(model="anything", weight="any.safetensors"),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("missing", "remedy"),
    [
        ({"adapter": AdapterWeights(model="nowhere", folder="models", weight="a.safetensors")}, "adapter"),
        ({"lora": LoraWeights(model="nowhere", weight="l.safetensors")}, "lora"),
    ],
)
def test_missing_adapter_and_lora_weights_are_errors_with_the_remedy(
    folders: Path, tmp_path: Path, missing: dict[str, Any], remedy: str
) -> None:
    make("sd15_lcm", folders, Runtime())
    given = {"adapter": adapter_of(folders, "sd15_lcm"), **missing}
    with pytest.raises(ValueError, match=rf"nowhere/.*could not be read(.|\n)*decoder\.{remedy}\.model=FOLDER"):
        IPAdapter(family="sd15", model=str(folders / "sd15_lcm"), space_name="tiny", **given)


def test_an_adapter_in_a_folder_makes_no_hub_requests(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make("sd15_lcm", folders, Runtime())
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "reachable", lambda: pytest.fail("the hub was asked"))
    make("sd15_lcm", folders, Runtime())


def test_an_unknown_scheduler_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="did you mean LCMScheduler"):
        Scheduler(name="LCMSchedular")


def test_the_safety_checker_flags_by_its_threshold(tmp_path: Path) -> None:
    pictures = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue", "white")]
    strict = DiffusersSafety(model=str(tiny.safety_checker(tmp_path / "strict", threshold=-2.0)), batch_size=2)
    lax = DiffusersSafety(model=str(tiny.safety_checker(tmp_path / "lax", threshold=2.0)))
    assert strict.flagged(pictures) == [True, True, True]
    assert lax.flagged(pictures) == [False, False, False]
    card = np.asarray(blurred_card(pictures[1]), dtype=float)
    assert card.shape == (32, 32, 3)
    assert card.std(axis=(0, 1)).max() < 1  # nothing to be seen in it
    with pytest.raises(ValueError, match=r"safety\.model=FOLDER"):
        DiffusersSafety(model=str(tmp_path / "nowhere"))


def test_unsupported_inputs_are_refused(folders: Path) -> None:
    decoder = make("karlo", folders, Runtime())
    given = torch.zeros(1, decoder.dim)
    with pytest.raises(ValueError, match="does not support negative"):
        decoder.decode(given, negative_BD=given, prompt=None, generators=generators(0))
    with pytest.raises(ValueError, match="does not support a prompt"):
        decoder.decode(given, negative_BD=None, prompt="a", generators=generators(0))
    with pytest.raises(ValueError, match="dimensions, got 3"):
        decoder.decode(torch.zeros(1, 3), negative_BD=None, prompt=None, generators=generators(0))
    with pytest.raises(ValueError, match=r"tiny.*ViT-L-14/openai"):
        require_space(decoder, "ViT-L-14/openai")


def test_missing_weights_are_errors_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"decoder\.model=FOLDER"):
        Kandinsky(model="nobody/nothing-at-all")
    with pytest.raises(ValueError, match="sliced"):
        IPAdapter(
            family="sdxl", model=str(tmp_path), adapter=AdapterWeights(folder="b", weight="a"), space_name="s",
            runtime=Runtime(attention="sliced"),
        )  # fmt: skip
    with pytest.raises(ValueError, match="did you mean float16"):
        Runtime(dtype="float61")


def test_identity_changes_with_the_weights_layout(folders: Path, tmp_path: Path) -> None:
    decoder = make("kandinsky", folders, Runtime())
    again = Kandinsky(model=str(folders / "kandinsky"), space_name="tiny", steps=1, size=32)
    assert decoder.identity == again.identity
    other = Kandinsky(model=str(tiny.kandinsky(tmp_path / "other", hint=True)), space_name="tiny", steps=1, size=32)
    assert other.identity.split("#")[1] != decoder.identity.split("#")[1]


@pytest.mark.parametrize("name", ["kandinsky", "karlo", "stable_unclip", "sdxl"])
def test_it_keeps_the_protocol(name: str, folders: Path) -> None:
    assert isinstance(make(name, folders, Runtime()), Decoder)
