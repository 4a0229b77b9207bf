"""When a turn starts, and what a candidate must prove."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from components.config.section import Section


class EvaluateSettings(Section):
    batch_size: int = Field(100, ge=1)
    max_new_tokens: int = Field(96, ge=1)
    perplexity_rows: int = Field(200, ge=0)
    """Reference answers a set that perplexity is measured on; exact match is always measured on all."""


class PromotionSettings(Section):
    confidence: float = Field(0.95, gt=0.5, lt=1)
    resamples: int = Field(10_000, ge=100)
    delta: float = Field(0.02, ge=0, lt=1)
    min_target: int = Field(20, ge=1)
    approval: Literal["none", "human"] = "none"
    approval_hours: float = Field(24, gt=0)


class ImproveSettings(Section):
    cron: str = "0 2 * * *"
    timezone: str = "UTC"
    corrections: int = Field(120, ge=1)
    """So many that the part locked as tests (curate.regression_share) nearly always reaches promotion.min_target."""
    when_busy: Literal["wait", "cancel"] = "wait"
    retries: int = Field(1, ge=0, le=10)
    """Of a stage that was killed (out of memory, say); one that says why it can't is not tried again."""
    retry_seconds: float = Field(5, ge=0)
