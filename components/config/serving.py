"""How the service answers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from components.config.section import Section


class UpstreamSettings(Section):
    """Another OpenAI-compatible server that answers (`serving.engine: upstream`)."""

    base_url: str = Field("", pattern=r"^(https?://\S+)?$")
    """Up to and with `/v1`, e.g. http://127.0.0.1:8000/v1."""
    key_env: str = Field("SAQIA_UPSTREAM_KEY", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Name of the environment variable that holds the server's API key; unset, none is sent."""
    model: str = Field("{task}@{version}", min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")
    """What the server calls a registered version; without `{version}`, the one model that answers everything."""
    models: dict[str, str] = Field(default_factory=dict)
    """Versions (or `base`) that the server calls otherwise."""
    connect_seconds: float = Field(5, gt=0)

    @field_validator("model")
    @classmethod
    def _names_only_what_is_known(cls, value: str) -> str:
        try:
            value.format(task="t", version="1")
        except (KeyError, IndexError, ValueError):
            raise ValueError("may hold {task} and {version} and no other braces") from None
        return value


class CanarySettings(Section):
    share: float = Field(0.0, ge=0, le=0.5)
    """Of the task's users (or conversations), who get a version that passed before everybody does; 0: no canary."""
    confidence: float = Field(0.95, gt=0.5, lt=1)
    """With which a version is withdrawn or promoted early; it holds however often one looks."""
    answers: int = Field(500, ge=1)
    """After so many answers of a canary that nothing spoke against it becomes the champion."""


class ServingSettings(Section):
    engine: Literal["auto", "torch", "openvino", "upstream"] = "auto"
    """What answers. auto: on a CPU openvino for what it does exactly and torch for the rest; torch on a GPU."""
    poll_seconds: float = Field(2, gt=0)
    max_batch: int = Field(32, ge=1)
    max_queue: int = Field(256, ge=1)
    deadline_seconds: float = Field(60, gt=0)
    merge_up_to: int = Field(500_000_000, ge=0)
    """Parameters of a base up to which each version is merged into a copy of its own."""
    max_body_mb: float = Field(4, gt=0)
    loaded_versions: int = Field(2, ge=1)
    """Versions loaded because a request named them, or as the candidate, beside the champion and the one before it."""
    prefix_cache_mb: float = Field(64, ge=0)
    """Keys and values of shared beginnings of prompts (system messages) that the torch engine keeps; 0 keeps none."""
    upstream: UpstreamSettings = UpstreamSettings()
    canary: CanarySettings = CanarySettings()
    api_keys: Literal["elsewhere", "always"] = "elsewhere"
    """elsewhere: needed by whoever does not come over this machine's loopback; always: also there (behind a proxy)."""
    requests_per_minute: int = Field(3000, ge=0)
    """Per key; 0 is without limit. Who needs no key has no limit."""
    tokens_per_minute: int = Field(1_000_000, ge=0)
    """Prompt and answer tokens per key; 0 is without limit."""
    log_messages: bool = False
    """Write what was asked and answered into the log, too."""
    mirror: Literal["none", "mlflow"] = "none"
    """Copy every answer to MLflow as a trace, in the background; the database stays the record."""
    mirror_queue: int = Field(1000, ge=1)
    """Answers that may wait for the mirror; more are dropped from it, and counted."""

    @model_validator(mode="after")
    def _upstream_has_an_address(self) -> ServingSettings:
        if self.engine == "upstream" and not self.upstream.base_url:
            raise ValueError("engine upstream needs serving.upstream.base_url, e.g. http://127.0.0.1:8000/v1")
        return self
