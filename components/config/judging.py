"""Section `judge`: who compares answers for `saqia judge`, and which."""

from __future__ import annotations

from pydantic import Field

from components.config.section import Section


class EndpointSettings(Section):
    """An OpenAI-compatible server and a model of it."""

    base_url: str = Field("", pattern=r"^(https?://\S+)?$")
    """Up to and with `/v1`. Empty: this project's own service."""
    model: str = ""
    """Empty: the task's name, which is what our own service calls its champion."""
    key_env: str = Field("SAQIA_LLM_KEY", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Name of the environment variable that holds the server's API key; unset, none is sent."""


class JudgeSettings(Section):
    answers: EndpointSettings = EndpointSettings()
    """Who answers: two answers to each prompt."""
    judge: EndpointSettings = EndpointSettings()
    """Who compares them. A task's judge.py takes its place."""
    prompts: int = Field(200, ge=1)
    """Of the task's rows, the ones with the smallest ids."""
    temperature: float = Field(1.0, gt=0, le=2)
    """At which the two answers are drawn."""
    max_tokens: int | None = Field(None, ge=1)
    """Of an answer; None: as far as the model's context reaches (a number beyond it is refused by OpenAI's API)."""
    constrain: bool = True
    """The verdict is held to a JSON schema (`response_format`); false for servers that don't know it."""
    parallel: int = Field(4, ge=1, le=64)
    """Requests at a time."""
    timeout_seconds: float = Field(60, gt=0)
