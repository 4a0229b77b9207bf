"""Other people's models: where one is, and how it is asked. `judge` and `teacher` are made of these."""

from __future__ import annotations

from pydantic import Field

from components.config.section import Section


class EndpointSettings(Section):
    """An OpenAI-compatible server and a model of it."""

    base_url: str = Field("", pattern=r"^(https?://\S+)?$")
    """Up to and with `/v1`. Empty: this project's own service; a teacher must be named."""
    model: str = ""
    """Empty: the task's name, which is what our own service calls its champion; a teacher must be named."""
    key_env: str = Field("SAQIA_LLM_KEY", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Name of the environment variable that holds the server's API key; unset, none is sent."""


class AskingSettings(Section):
    """How an endpoint is asked, whatever it is asked for."""

    max_tokens: int | None = Field(None, ge=1)
    """Of an answer; None: as far as the model's context reaches (a number beyond it is refused by OpenAI's API)."""
    constrain: bool = True
    """What must have a form is held to a JSON schema (`response_format`); false for servers that don't know it."""
    parallel: int = Field(4, ge=1, le=64)
    """Requests at a time."""
    timeout_seconds: float = Field(60, gt=0)
