"""What one wheel does, and what became of it so far: files that a killed run carries on from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from components import files


class Plan(BaseModel):
    """One seed's wheel. The parent writes it, the process in the copy reads it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int
    """Of the families' order, the messages, the people and the independent draw."""
    base_seed: int
    """`seed` in params.yaml: of the base, the task's rows and the trainings."""
    kind: Literal["turns", "demo", "planted"] = "turns"
    turns: int = 10
    messages: int = 350
    """A turn. The demo asks its own number, `examples.traffic`."""
    truth: int = 5000
    """Rows of each set of the independent draw."""
    glance: int = 200
    """Rows of a family that the verdict does not rest on: for the table alone."""
    objective: str = "sft"
    """Of the turns; version 1 is always taught right answers."""
    hostile_from: int = 4
    oracle_steps: int | None = None
    """None: as many as all turns together."""
    planted: int = 2
    """Bad candidates of each kind."""


class State:
    """Results as they come, in a file that is whole at every moment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "state.json"
        self.values: dict[str, Any] = json.loads(self.file.read_text()) if self.file.exists() else {"turns": []}

    def save(self) -> None:
        files.write_json(self.file, self.values)
