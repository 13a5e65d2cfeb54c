"""The models' small prior and space, for what is built on them."""

from tests.models.conftest import prior, space

__all__ = ["prior", "space"]
