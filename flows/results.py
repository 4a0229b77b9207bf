"""What a stage of the graph is to the flows, and what became of it. Light: the terminal reads these too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from components.stage import StageError

Outcome = Literal["ran", "cached", "failed", "skipped"]


@dataclass(frozen=True)
class Node:
    """One stage as dvc.yaml describes it."""

    name: str
    description: str
    needs: tuple[str, ...]
    pool: str | None
    """`meta.pool`: the work pool that the stage wants, e.g. gpu."""
    gate: bool
    changed: bool
    """Whether DVC knows now that it must run (or may have to, after one before it)."""


@dataclass(frozen=True)
class Result:
    """What became of one stage."""

    name: str
    outcome: Outcome
    seconds: float = 0.0
    error: str = ""
    started: float = 0.0
    """Seconds since the epoch."""


class StageFailed(StageError):
    """A stage ended with an error; the message is its own line."""

    def __init__(self, stage: str, line: str, retryable: bool) -> None:
        super().__init__(line)
        self.stage = stage
        self.retryable = retryable
