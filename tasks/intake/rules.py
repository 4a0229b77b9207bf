"""The written rules that make the truth checkable: numbers to severity, fields to urgency.

Severity from a number out of ten: 1-3 mild, 4-6 moderate, 7-10 severe.

Urgency, from the complaint's class of danger, the severity and the duration:

| class | severe | otherwise | |
|---|---|---|---|
| red (chest pain, …) | emergency | urgent | |
| amber (fever, …) | urgent | soon | |
| green (cough, …) | soon | routine | but soon when it has lasted two weeks or longer |
"""

from __future__ import annotations

from typing import Literal

from tasks.intake.schema import Severity, Urgency

Danger = Literal["green", "amber", "red"]

LONG_DAYS = 14
_DAYS = {"hour": 1 / 24, "day": 1.0, "week": 7.0, "month": 30.0, "year": 365.0}
_FEW = 3


def severity_of_number(number: int) -> Severity:
    """Severity of a number out of ten.

    Raises:
        ValueError: the number is not from 1 to 10.
    """
    if not 1 <= number <= 10:
        raise ValueError(f"a severity is a number from 1 to 10, not {number}")
    return "mild" if number <= 3 else "moderate" if number <= 6 else "severe"


def days(duration: str) -> float:
    """Length of a note's duration in days; 0 for `unspecified`, half a day for `today`, `few` is three."""
    if duration == "unspecified":
        return 0.0
    if duration == "today":
        return 0.5
    count, unit = duration.split(" ")
    return (_FEW if count == "few" else int(count)) * _DAYS[unit.removesuffix("s")]


def urgency(danger: Danger, severity: Severity, duration: str) -> Urgency:
    """How soon someone should look at the complaint: the table in this module's docstring."""
    if danger == "red":
        return "emergency" if severity == "severe" else "urgent"
    if danger == "amber":
        return "urgent" if severity == "severe" else "soon"
    return "soon" if severity == "severe" or days(duration) >= LONG_DAYS else "routine"
