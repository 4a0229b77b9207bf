"""When a flow has a preloaded process of its own."""

from __future__ import annotations

import pytest

from components.preloaded import VARIABLE
from flows import preload


def test_one_that_the_environment_names_is_used_and_no_other_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preload, "_started", None)
    monkeypatch.setenv(VARIABLE, "somebody-elses")
    preload.start()
    assert preload.variables() == {}, "so the stages inherit what the environment says"
