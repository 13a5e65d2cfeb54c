"""A small world, quickly built, for figures that need the true utility."""

import pytest

from prefprior.world import catalogue
from prefprior.world.source import WorldSource


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> WorldSource:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, "EXAMPLES", 4)
        patch.setattr(catalogue, "FINE_EXAMPLES", 32)
        world = WorldSource(people=60, pictures=400, root=str(tmp_path_factory.mktemp("embeddings")))
        world.utility("person-0000", world.embeddings().vectors[:1])
    return world
