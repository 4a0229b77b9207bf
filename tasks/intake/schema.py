"""What an intake note is: six fields, answered as one compact JSON object in this order."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Severity = Literal["mild", "moderate", "severe", "unspecified"]
Urgency = Literal["routine", "soon", "urgent", "emergency"]


class IntakeNote(BaseModel):
    """The facts of one message about the writer's own complaint; nothing about other people.

    `model_dump_json()` is the canonical answer: no spaces, keys in the order below.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    symptom: str = Field(pattern=r"^[a-z][a-z ]{1,40}$")
    """The complaint's plain name, e.g. `sore throat`."""
    site: str = Field(pattern=r"^[a-z][a-z ]{1,30}$")
    """Where on the body; `general` for a complaint without a place."""
    duration: str = Field(
        pattern=r"^(unspecified|today|few (hours|days|weeks|months)|\d{1,3} (hour|day|week|month|year)s?)$"
    )
    """How long it has lasted; `today` when it began last night or this morning."""
    severity: Severity
    """By the writer's words or number: 1-3 of 10 mild, 4-6 moderate, 7-10 severe."""
    medication: str = Field(
        pattern=r"^(unspecified|none|refused|[a-z][a-z ]{1,30}(: (relief|some relief|no effect))?)$"
    )
    """What was taken for it and how it worked; `none`: nothing taken; `refused`: does not want any."""
    urgency: Urgency
    """By tasks/intake/rules.py, from the fields above."""
