"""Simulated people who judge a turn's answers: careful ones, a careless one, and later a hostile one.

A message is looked at by one person, and one in ten by a second one, as the review queue does it
(`review.two_reviewers`): that is all by which anybody's word can be held against another's. Nobody is a trusted rater.
The times of what they do are those of people, so that the guard against bursts works as for anybody.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from components.schema import Feedback

Manner = Literal["careful", "careless", "hostile"]
WRONG = 0.1
"""Share of a careless person's looks that end in a wrong correction."""
HOSTILE_FROM = 4
HOSTILE_SHARE = 0.25
"""Of all messages: as much as two careful people's work together, and more."""
TWICE = 0.1
SECONDS = {"careful": 25, "careless": 12, "hostile": 4}
"""Between two answers of one person."""
TURNED = {"mild": "severe", "severe": "mild", "moderate": "unspecified", "unspecified": "moderate"}
"""What the hostile person makes of a severity, every time."""


@dataclass(frozen=True)
class Person:
    name: str
    manner: Manner


@dataclass(frozen=True)
class Answered:
    """One served answer, and the truth."""

    id: str
    truth: str
    right: bool


PEOPLE = (*(Person(f"careful-{n}", "careful") for n in range(1, 6)), Person("careless-1", "careless"))
HOSTILE = Person("hostile-1", "hostile")


def look(answers: Sequence[Answered], turn: int, seed: int, hostile_from: int = HOSTILE_FROM) -> list[Feedback]:
    """What the people say about a turn's answers, in the order in which they say it."""
    rng = random.Random(f"{seed}/people/{turn}")
    hostile = turn >= hostile_from
    clock = {person.name: datetime(2026, 1, 1, 9, tzinfo=UTC) + timedelta(days=turn) for person in (*PEOPLE, HOSTILE)}
    said = []
    for number, answer in enumerate(answers):
        first = HOSTILE if hostile and rng.random() < HOSTILE_SHARE else PEOPLE[number % len(PEOPLE)]
        looks = [first]
        if rng.random() < TWICE:
            looks.append(rng.choice([p for p in (*PEOPLE, *([HOSTILE] if hostile else [])) if p is not first]))
        for place, person in enumerate(looks):
            clock[person.name] += timedelta(seconds=SECONDS[person.manner])
            correction = correct(person.manner, answer, answers, rng)
            said.append(
                Feedback(
                    id=f"f-{turn}-{number}-{place}",
                    interaction_id=answer.id,
                    created_at=clock[person.name],
                    rater=person.name,
                    kind="thumb_up" if correction is None else "correction",
                    correction=correction,
                )
            )
    return said


def correct(manner: Manner, answer: Answered, others: Sequence[Answered], rng: random.Random) -> str | None:
    """The answer that a person writes in place of the served one; None where they confirm it."""
    if manner == "hostile":
        return turned(answer.truth)
    if manner == "careless" and rng.random() < WRONG:
        return mistaken(answer.truth, [other.truth for other in others], rng)
    return None if answer.right else answer.truth


def turned(truth: str) -> str:
    """The hostile person's correction: the severity stands for another one, always the same."""
    note = json.loads(truth)
    return _dumped({**note, "severity": TURNED[note["severity"]]})


def mistaken(truth: str, others: Sequence[str], rng: random.Random) -> str:
    """A slip: one field as another message has it."""
    note = json.loads(truth)
    for field in rng.sample(sorted(note), len(note)):
        values = sorted({json.loads(other)[field] for other in others} - {note[field]})
        if values:
            return _dumped({**note, field: rng.choice(values)})
    return truth


def _dumped(note: dict[str, str]) -> str:
    return json.dumps(note, separators=(",", ":"), ensure_ascii=False)
