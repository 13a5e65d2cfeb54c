"""prefprior/world/people/schools.py: forty-eight kinds of picture, each unlike the others."""

from prefprior.world.people.schools import schools
from prefprior.world.render.captions import describe


def test_each_school_has_its_own_name() -> None:
    assert len({describe(school) for school in schools()}) == len(schools()) == 48


def test_each_pair_of_hue_and_shape_is_one_school() -> None:
    assert len({(school["hue"], school["shape"]) for school in schools()}) == 48
