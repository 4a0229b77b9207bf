"""Pre-training text: messages, notes in words, messages with their notes, dialogue, a little lexicon.

It speaks of the known families in taught phrasings only, and holds every character and
every token that an answer is made of.
"""

from __future__ import annotations

import random

from tasks.intake.known_families import KNOWN
from tasks.intake.message import Case, draw
from tasks.intake.schema import IntakeNote

_NOUNS = {"unspecified": "not said"}


def document(rng: random.Random) -> str:
    """One document."""
    kind = rng.random()
    case = draw(rng, rng.choice(KNOWN))
    if kind < 0.62:
        return markup(case)
    if kind < 0.72:
        return case.text
    if kind < 0.82:
        return f"{case.text}\n{summary(rng, case.note)}"
    if kind < 0.92:
        return dialogue(rng, case)
    return _same(rng, case)


def markup(case: Case) -> str:
    """A case as the chat template writes it."""
    answer = case.note.model_dump_json()
    return f"<|im_start|>user\n{case.text}<|im_end|>\n<|im_start|>assistant\n{answer}<|im_end|>\n"


def summary(rng: random.Random, note: IntakeNote) -> str:
    """The note in words."""
    parts = [
        rng.choice(
            (f"The patient reports {note.symptom}", f"Complaint: {note.symptom}", f"Patient with {note.symptom}")
        ),
        rng.choice((f"site: {note.site}", f"the place is the {note.site}", f"{note.site}")),
        rng.choice((f"duration {_words(note.duration)}", f"it has lasted {_words(note.duration)}")),
        rng.choice((f"severity {_words(note.severity)}", f"{_words(note.severity)} severity")),
        rng.choice((f"medication {_words(note.medication)}", f"took: {_words(note.medication)}")),
        rng.choice((f"urgency {note.urgency}", f"this is {note.urgency}")),
    ]
    return rng.choice((", ", "; ", ". ")).join(parts) + "."


def dialogue(rng: random.Random, case: Case) -> str:
    """The same case asked for piece by piece."""
    note = case.note
    lines = [f"Patient: {case.text}", f"Nurse: So you have {note.symptom}. Where is it?", f"Patient: {note.site}."]
    for question, value in (
        ("How long have you had it?", note.duration),
        ("How bad is it?", note.severity),
        ("What did you take for it?", note.medication),
    ):
        if value != "unspecified":
            lines += [f"Nurse: {question}", f"Patient: {value}."]
    lines.append(f"Nurse: I will mark it {note.urgency}.")
    return "\n".join(lines)


def _same(rng: random.Random, case: Case) -> str:
    """Two people say the same complaint in two ways."""
    family = next(f for f in KNOWN if f.name == case.family)
    said = [rng.choice(rng.choice(family.seen_phrasings).texts).replace("{site}", case.note.site) for _ in range(4)]
    return f"{family.name} ({case.note.site}): " + "; ".join(dict.fromkeys(said)) + "."


def _words(value: str) -> str:
    return _NOUNS.get(value, value)
