"""The written rules of the intake task: numbers to severity, fields to urgency."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from tasks.intake.rules import days, severity_of_number, urgency
from tasks.intake.schema import IntakeNote


@pytest.mark.parametrize(
    ("numbers", "severity"), [(range(1, 4), "mild"), (range(4, 7), "moderate"), (range(7, 11), "severe")]
)
def test_a_number_out_of_ten_has_one_severity(numbers: range, severity: str) -> None:
    assert {severity_of_number(number) for number in numbers} == {severity}


@pytest.mark.parametrize("number", [0, 11, -3])
def test_a_number_outside_the_scale_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match=f"not {number}"):
        severity_of_number(number)


@pytest.mark.parametrize(
    ("danger", "severity", "duration", "expected"),
    [
        ("red", "severe", "today", "emergency"),
        ("red", "mild", "2 years", "urgent"),
        ("red", "unspecified", "unspecified", "urgent"),
        ("amber", "severe", "unspecified", "urgent"),
        ("amber", "moderate", "6 weeks", "soon"),
        ("amber", "mild", "today", "soon"),
        ("green", "severe", "today", "soon"),
        ("green", "moderate", "13 days", "routine"),
        ("green", "moderate", "2 weeks", "soon"),
        ("green", "unspecified", "1 month", "soon"),
        ("green", "mild", "few days", "routine"),
        ("green", "mild", "few weeks", "soon"),
        ("green", "unspecified", "unspecified", "routine"),
    ],
)
def test_urgency_follows_danger_severity_and_duration(danger, severity, duration, expected) -> None:  # type: ignore[no-untyped-def]
    assert urgency(danger, severity, duration) == expected


def test_durations_are_compared_in_days() -> None:
    in_order = ["unspecified", "2 hours", "today", "1 day", "few days", "1 week", "few weeks", "1 month", "1 year"]
    assert sorted(in_order, key=days) == in_order


def test_a_note_is_compact_json_in_one_order_of_keys() -> None:
    note = IntakeNote(
        symptom="headache", site="head", duration="3 days", severity="mild", medication="none", urgency="routine"
    )
    assert note.model_dump_json() == (
        '{"symptom":"headache","site":"head","duration":"3 days","severity":"mild","medication":"none",'
        '"urgency":"routine"}'
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("duration", "three days"),
        ("duration", "3 fortnights"),
        ("severity", "bad"),
        ("medication", "ibuprofen: great"),
        ("urgency", "now"),
        ("symptom", ""),
        ("site", "Head"),
    ],
)
def test_a_value_outside_the_vocabulary_is_no_note(field: str, value: str) -> None:
    good = {
        "symptom": "headache",
        "site": "head",
        "duration": "3 days",
        "severity": "mild",
        "medication": "none",
        "urgency": "routine",
    }
    with pytest.raises(ValidationError, match=field):
        IntakeNote.model_validate(good | {field: value})
