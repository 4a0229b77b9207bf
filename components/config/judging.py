"""Section `judge`: who compares answers for `saqia judge`, and which."""

from __future__ import annotations

from pydantic import Field

from components.config.endpoints import AskingSettings, EndpointSettings


class JudgeSettings(AskingSettings):
    answers: EndpointSettings = EndpointSettings()
    """Who answers: two answers to each prompt."""
    judge: EndpointSettings = EndpointSettings()
    """Who compares them. A task's judge.py takes its place."""
    prompts: int = Field(200, ge=1)
    """Of the task's rows, the ones with the smallest ids."""
    temperature: float = Field(1.0, gt=0, le=2)
    """At which the two answers are drawn."""
