"""An encoder that needs no download."""

import pytest

import prefprior.world  # noqa: F401 (registers it)
from prefprior.data.embedding.encoders import OpenClipEncoder


@pytest.fixture(scope="session")
def encoder() -> OpenClipEncoder:
    return OpenClipEncoder(model="world-clip")
