"""One message with its truth: facts are drawn first, then said."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tasks.intake import durations, medications, severities, surroundings
from tasks.intake.families import Family
from tasks.intake.noise import join
from tasks.intake.phrasing import complaint, takes_adjective
from tasks.intake.rules import urgency
from tasks.intake.schema import IntakeNote, Severity


@dataclass(frozen=True)
class Case:
    """A message, what it says, and about which family."""

    family: str
    text: str
    note: IntakeNote


UNSEEN_DETAILS = 0.35
"""Share of details (duration, severity, medication) that an unseen-phrasing message also says in an unseen way."""


def draw(rng: random.Random, family: Family, unseen: bool = False, short: bool = False) -> Case:
    """Draw a case of a family: `unseen` takes phrasings that are never taught, `short` says little else."""
    phrasing = rng.choice(family.unseen_phrasings if unseen else family.seen_phrasings)
    site = rng.choice(family.sites)
    duration = durations.NOT_SAID
    if rng.random() < (0.4 if short else 0.85):
        duration = durations.draw(rng, unseen and rng.random() < UNSEEN_DETAILS)
    details: list[str] = []
    severity: Severity = "unspecified"
    adjective = ""
    if rng.random() < (0.5 if short else 0.75):
        hidden = unseen and rng.random() < UNSEEN_DETAILS
        if rng.random() < 0.4 and takes_adjective(phrasing):
            severity = rng.choice(("mild", "moderate", "severe"))
            adjective = rng.choice((severities.UNSEEN_ADJECTIVES if hidden else severities.ADJECTIVES)[severity])
        else:
            severity, said = severities.draw(rng, hidden)
            details.append(said)
    medication = "unspecified"
    if rng.random() < (0.35 if short else 0.65):
        medication, said = medications.draw(rng, family.remedies, unseen and rng.random() < UNSEEN_DETAILS)
        details.append(said)
    opening, has_duration = complaint(rng, phrasing, site, duration, adjective)
    if duration.sentence and not has_duration:
        details.append(duration.sentence)
    rng.shuffle(details)
    remarks = surroundings.distractors(rng, 0 if short else rng.choice((0, 0, 0, 0, 1, 1, 1, 2)))
    for remark in remarks:
        details.insert(rng.randint(0, len(details)), remark)
    sentences = [opening, *details]
    if remarks and rng.random() < 0.35 and sentences[1] in remarks:
        sentences[0], sentences[1] = sentences[1], sentences[0]
    if not short and rng.random() < 0.4:
        sentences.insert(0, surroundings.greeting(rng))
    if not short and rng.random() < 0.35:
        sentences.append(surroundings.closing(rng))
    note = IntakeNote(
        symptom=family.name,
        site=site,
        duration=duration.value,
        severity=severity,
        medication=medication,
        urgency=urgency(family.danger, severity, duration.value),
    )
    return Case(family.name, join(rng, sentences), note)
