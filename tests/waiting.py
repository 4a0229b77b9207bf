"""Waiting for what another process or thread does: on a condition, with a deadline that a loaded machine keeps too."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest


def until(what: Callable[[], Any], said: str | Callable[[], str], seconds: float = 300, *, every: float = 0.1) -> Any:
    """Wait for something to be true and return it; `said` (asked at the end) tells what did not come."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(every)
    return pytest.fail(f"{said() if callable(said) else said}: not within {seconds:g} s")
