"""Section `teacher`: whose answers `saqia label` makes training rows of."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from components.config.endpoints import AskingSettings, EndpointSettings


class TeacherSettings(EndpointSettings, AskingSettings):
    temperature: float | None = Field(0.0, ge=0, le=2)
    """None: none is sent, for models that refuse to be told."""
    shots: int = Field(0, ge=0, le=64)
    """So many of the task's own training rows are shown with every prompt, as earlier turns."""
    samples: int = Field(1, ge=1, le=32)
    """Answers to each prompt; with several, the one that more than half of them give, else none."""

    @model_validator(mode="after")
    def _samples_differ(self) -> Self:
        if self.samples > 1 and not self.temperature:
            raise ValueError("samples above 1 are all the same at temperature 0: set teacher.temperature, e.g. to 0.7")
        return self
