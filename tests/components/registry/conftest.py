"""Versions to register: the small world of the evaluation's tests."""

from tests.components.evaluation.conftest import trained, world

__all__ = ["trained", "world"]
