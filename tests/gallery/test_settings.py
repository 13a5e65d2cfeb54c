"""Settings of a gallery: checked, and the same after a journey through JSON."""

import json
from dataclasses import fields, replace
from typing import Any

import pytest

from prefprior.gallery.settings import GallerySettings, sampling_in_words
from prefprior.inference.selection import TEXT_CANDIDATES
from prefprior.models.diffusion.guidance import Guidance
from prefprior.models.diffusion.sampler import Sampler
from prefprior.models.diffusion.solvers import Ancestral, Heun
from tests.gallery.tiny import SETTINGS

ALL = replace(
    SETTINGS, sampler=Sampler(solver=Ancestral(eta=0.3), steps=7, guidance=Guidance(history=2.0), diversity=0.5),
    safety="prude", negative=True, nearest=0, prompt="red ground", prompt_weight=0.3, command={"users": ["a"], "n": 3},
)  # fmt: skip


def through_json(settings: GallerySettings) -> Any:
    return json.loads(json.dumps(settings.to_dict()))


def test_settings_survive_a_round_trip_through_json() -> None:
    again = GallerySettings.from_dict(through_json(ALL))
    assert again.to_dict() == ALL.to_dict()
    assert replace(again, sampler=ALL.sampler) == ALL


def test_the_sampler_is_loaded_with_its_solver() -> None:
    sampler = GallerySettings.from_dict(through_json(ALL)).sampler
    assert isinstance(sampler.solver, Ancestral)
    assert (sampler.solver.eta, sampler.steps, sampler.guidance.history, sampler.diversity) == (0.3, 7, 2.0, 0.5)


def test_defaults_are_written_down() -> None:
    sampler = SETTINGS.to_dict()["sampler"]
    assert sampler["guidance"] == {"_target_": "prefprior.models.diffusion.guidance.Guidance"} | vars_of(Guidance())


def vars_of(guidance: Guidance) -> dict[str, float]:
    return {"history": guidance.history, "rating": guidance.rating, "text": guidance.text}


@pytest.mark.parametrize("name", [field.name for field in fields(GallerySettings)])
def test_a_missing_setting_is_named(name: str) -> None:
    value = through_json(ALL)
    del value[name]
    with pytest.raises(ValueError, match=f"here lacks {name}"):
        GallerySettings.from_dict(value, "here")


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("n", "many"), ("seed", 0.5), ("negative", "yes"), ("prompt", ["a"]), ("space", None), ("command", "python"),
        ("checkpoint_sha256", None), ("checkpoint_sha256", 7), ("checkpoint_sha256", "abc"), ("sampler", "euler"),
        ("sampler", {"_target_": "prefprior.models.diffusion.guidance.Guidance"}), ("more", 1),
    ],
)  # fmt: skip
def test_an_invalid_setting_in_a_file_is_named(name: str, wrong: object) -> None:
    with pytest.raises(ValueError, match=name):
        GallerySettings.from_dict({**through_json(ALL), name: wrong}, "here")


@pytest.mark.parametrize("target", ["builtins.open", "prefprior.files.write_text", "prefprior.sample.Loaded"])
def test_a_file_may_not_name_any_class_as_its_solver(target: str) -> None:
    value = through_json(ALL)
    value["sampler"]["solver"] = {"_target_": target}
    with pytest.raises(ValueError, match=r"may name only classes|not a class that a file may name|there is no"):
        GallerySettings.from_dict(value, "here")


def test_settings_that_are_no_object_are_refused() -> None:
    with pytest.raises(ValueError, match="here is not a JSON object"):
        GallerySettings.from_dict(["n", 3], "here")


@pytest.mark.parametrize(
    "wrong",
    [{"n": 0}, {"history": 0}, {"nearest": -1}, {"copy_threshold": 0.0}, {"copy_threshold": 1.1}, {"prompt_weight": 2}],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        replace(SETTINGS, **wrong)


def test_prompt_conditioning_and_prompt_selection_are_distinguished() -> None:
    assert not replace(SETTINGS, prompt="a", prompt_weight=0.5).prompt_guides
    assert replace(SETTINGS, prompt="a").prompt_guides
    assert not SETTINGS.prompt_guides


def test_selection_by_prompt_has_more_candidates() -> None:
    assert SETTINGS.candidates == SETTINGS.sampler.candidates
    assert replace(SETTINGS, prompt="a", prompt_weight=0.5).candidates == TEXT_CANDIDATES


def test_the_description_names_solver_steps_and_scales() -> None:
    sampler = Sampler(solver=Heun(), steps=7, guidance=Guidance(history=2.0, rating=0.5, text=3.0))
    assert sampling_in_words(sampler, with_text=False) == "7 steps (Heun), guidance by history 2, by rating 0.5"
    assert sampling_in_words(sampler, with_text=True).endswith(", by text 3")
