"""What a flow tells the terminal while it runs; without a listener it tells only Prefect."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from flows.results import Result


class Listener(Protocol):
    """A terminal, or a test, that follows a flow."""

    def line(self, stage: str, text: str) -> None:
        """A line that a stage wrote."""

    def note(self, text: str) -> None:
        """A line about the whole run, worth keeping in sight."""

    def finished(self, result: Result) -> None:
        """A stage or a step after the graph ended."""


_listeners: list[Listener] = []


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Have `listener` follow the flows of this process."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def line(stage: str, text: str) -> None:
    """Pass a stage's line on."""
    for listener in _listeners:
        listener.line(stage, text)


def note(text: str) -> None:
    """Pass on what is to be read before the run ends."""
    for listener in _listeners:
        listener.note(text)


def finished(result: Result) -> None:
    """Pass a stage's or step's end on."""
    for listener in _listeners:
        listener.finished(result)
