"""When a turn starts, and what a candidate must prove."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime
from typing import Annotated, Literal

from cronsim import CronSim, CronSimError
from pydantic import Field, field_validator

from components.config.section import Section


class EvaluateSettings(Section):
    batch_size: int = Field(100, ge=1)
    max_new_tokens: int = Field(96, ge=1)
    perplexity_rows: int = Field(200, ge=0)
    """Reference answers a set that perplexity is measured on."""
    look_rows: int = Field(1000, ge=50)
    """Rows of all guards together at the first look; doubled until the gate can decide or all are in."""


class PromotionSettings(Section):
    """The gate's rule: docs/gate.md."""

    confidence: float = Field(0.95, gt=0.5, lt=1)
    """Of every interval; each side misses with half of what is left, over all looks together."""
    delta: float | None = Field(None, gt=0, lt=1)
    """The most that all guards together may lose: against the champion, and since the best version that served.
    None: 0.02, or what the guard rows at hand can exclude, at most 0.1 (components/noninferiority.py)."""
    broken: float = Field(0.1, gt=0, lt=1)
    """The largest share of fixed cases that may break again."""
    min_target: int = Field(20, ge=1)
    approval: Literal["none", "human"] = "none"
    approval_hours: float = Field(24, gt=0)


class SelectSettings(Section):
    """Which point between champion and trained version becomes the candidate (components/selection)."""

    strengths: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (0.5, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0)
    """Shares of the way from the champion's weights to the trained ones; 1 is the trained version and always looked at.
    [1.0]: it is the candidate whatever it loses. Of an adapter's, what is new comes late: most lie near 1."""
    minutes: float = Field(5, gt=0)
    """Time for looking at them; what was looked at by then is chosen from."""


class FailureRateSettings(Section):
    """A turn because the champion fails too often, by the review queue's random sample alone."""

    above: float | None = Field(0.2, gt=0, lt=1)
    """Share of wrong answers; the turn starts where the rate is surely above it. null: never."""
    confidence: float = Field(0.95, gt=0.5, lt=1)
    """Of a confidence sequence, so that looking after every look costs nothing (components/canary.py)."""
    looks: int = Field(30, ge=1)
    """Fewer looks say nothing."""
    days: float = Field(14, gt=0)
    """The window: older answers of the champion do not count."""


class DriftSettings(Section):
    """A turn because people ask something else than the champion was taught (components/feedback/drift.py)."""

    messages: int | None = Field(300, ge=50, le=5000)
    """So many different new ones are held against what was taught, each message once. null: never."""
    least: float = Field(0.02, ge=0, lt=1)
    """Bits of Jensen-Shannon divergence beyond what chance explains: less is no reason for a turn, however sure."""
    false_alarms: float = Field(0.001, ge=0.0001, le=0.1)
    """Probability with which messages of the same kind are taken for others, each time."""


class ImproveSettings(Section):
    cron: str = "0 2 * * *"
    timezone: str = "UTC"
    corrections: int = Field(120, ge=1)
    """So many that the tests among them (curate.regression_share, less curate.tuning_share) nearly always reach
    promotion.min_target."""
    early: int = Field(80, ge=0)
    """So many must wait before the failure rate or drift starts a turn: without any, it would have nothing to learn."""
    failure_rate: FailureRateSettings = FailureRateSettings()
    drift: DriftSettings = DriftSettings()
    when_busy: Literal["wait", "cancel"] = "wait"
    retries: int = Field(1, ge=0, le=10)
    """Of a stage that was killed (out of memory, say); one that says why it can't is not tried again."""
    retry_seconds: float = Field(5, ge=0)
    pools: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Prefect work pools whose stages (`meta.pool` in dvc.yaml) other machines run; those of all others run here."""
    pool_minutes: float = Field(60, gt=0)
    """So long a stage waits while its pool has no worker."""

    @field_validator("cron")
    @classmethod
    def _cron_is_a_time(cls, cron: str) -> str:
        try:
            CronSim(cron, datetime.now(UTC))
        except CronSimError as error:
            raise ValueError(f"{error}; five fields: minute, hour, day of the month, month, day of the week") from error
        return cron

    @field_validator("timezone")
    @classmethod
    def _timezone_is_known(cls, name: str) -> str:
        try:
            zoneinfo.ZoneInfo(name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError("no time zone of the IANA database, e.g. UTC or Asia/Riyadh") from error
        return name
