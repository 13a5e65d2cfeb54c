"""Pictures are functions of factors and seed alone, show every factor, and captions tell them apart."""

import numpy as np
import pytest
import torch

from prefprior.world.render.captions import ORDER, TABLE, caption, describe, levels
from prefprior.world.render.factors import NAMES, Factors
from prefprior.world.render.pictures import CATEGORICAL, CONTINUOUS, draw_factors, render
from prefprior.world.tokenizer import UNKNOWN, WorldTokenizer


@pytest.fixture
def factors() -> Factors:
    return draw_factors(24, torch.Generator().manual_seed(0))


def test_rendering_is_deterministic(factors: Factors) -> None:
    seeds = np.arange(24)
    assert np.array_equal(render(factors, seeds), render(factors, seeds))
    again = draw_factors(24, torch.Generator().manual_seed(0))
    assert all(np.array_equal(factors[name], again[name]) for name in NAMES)


def test_a_picture_does_not_depend_on_its_batch(factors: Factors) -> None:
    seeds = np.arange(24) + 7
    whole = render(factors, seeds)
    order = np.random.default_rng(0).permutation(24)
    assert np.array_equal(render(factors.take(order), seeds[order]), whole[order])
    alone = np.concatenate([render(factors.take([i]), seeds[i : i + 1]) for i in range(24)])
    assert np.array_equal(alone, whole)


def test_the_seed_draws_the_unspecified_factors(factors: Factors) -> None:
    first, second = render(factors, np.arange(24)), render(factors, np.arange(24) + 1000)
    assert (first != second).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("name", NAMES)
def test_every_factor_changes_the_picture(name: str) -> None:
    n = 64
    if name in CONTINUOUS:
        low, high = (0.0, 180.0) if name == "hue" else CONTINUOUS[name]
        ends = [low, high]
    else:
        ends = [0, len(CATEGORICAL[name]) - 1]
    low_end, high_end = (
        render(Factors.from_partial({name: end}, n, torch.Generator().manual_seed(1)), np.arange(n)).astype(float)
        for end in ends
    )
    # Mean change of a pixel over the picture, of 255: what the least visible factor of a typical picture must reach.
    change = np.abs(low_end - high_end).mean(axis=(1, 2, 3))
    assert np.median(change) > 2.0
    assert change.min() > 0.1


def test_fixing_a_factor_does_not_change_the_others(factors: Factors) -> None:
    fixed = {"shape": "stars", "lightness": (0.7, 0.9), "number": ["three", "six"], "hue": (340, 380)}
    pinned = Factors.from_partial(fixed, 24, torch.Generator().manual_seed(0))
    assert {pinned.word("shape", i) for i in range(24)} == {"stars"}
    assert (pinned["lightness"] >= 0.7).all()
    assert (pinned["lightness"] <= 0.9).all()
    assert {pinned.word("number", i) for i in range(24)} == {"three", "six"}
    assert ((pinned["hue"] >= 340) | (pinned["hue"] <= 20)).all()
    assert all(np.array_equal(pinned[name], factors[name]) for name in NAMES if name not in fixed)


@pytest.mark.parametrize(
    ("fixed", "says"),
    [
        ({"colour": 1.0}, "unknown factors: colour"),
        ({"shape": "hexagons"}, "must be one of circles"),
        ({"shape": 8}, "must be one of circles"),
        ({"size": 1.5}, "between 0 and 1"),
        ({"size": (0.5, 0.2)}, "range"),
        ({"size": "large"}, "range"),
    ],
)
def test_invalid_descriptions_are_explained(fixed: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Factors.from_partial(fixed, 2, torch.Generator())


def test_captions_name_every_factor_and_the_tokenizer_knows_every_word(factors: Factors) -> None:
    tokenizer = WorldTokenizer()
    for i in range(len(factors)):
        told = caption(factors, i).split(", ")
        assert told == [TABLE[name][levels(factors, name)[i]] for name in ORDER]
        ids = tokenizer(caption(factors, i))[0]
        assert ids.argmax() == (ids != 0).sum() - 1, "the end token must have the highest id and come last"
        assert UNKNOWN not in ids
    assert all(len(set(phrases)) == len(phrases) for phrases in TABLE.values())
    assert {name: len(TABLE[name]) for name in CATEGORICAL} == {name: len(words) for name, words in CATEGORICAL.items()}


def test_the_tokenizer_names_words_it_does_not_know() -> None:
    with pytest.raises(ValueError, match=r"sircles \(nearest: circles"):
        WorldTokenizer()("three sircles")
    assert UNKNOWN in WorldTokenizer(strict=False)("three sircles")


def test_partial_descriptions_become_captions() -> None:
    assert describe({}) == "anything"
    told = describe({"shape": ["stars", "moons"], "lightness": (0.8, 1.0), "hue": 0.0})
    assert told == "stars or moons, rose ground, very bright to extremely bright"
