"""The tiny models of the serving tests: a random base and a version on it."""

from tests.serving.conftest import base, version_1

__all__ = ["base", "version_1"]
