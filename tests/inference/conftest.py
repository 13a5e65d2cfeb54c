"""The models' small model, prior and space, for what is built on them."""

from tests.models.conftest import model, prior, space

__all__ = ["model", "prior", "space"]
