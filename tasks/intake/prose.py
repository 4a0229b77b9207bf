"""Pre-training text: messages, notes in words, messages with their notes, dialogue, rules, a little lexicon.

It speaks of the known families in taught phrasings only, and holds every character and
every token that an answer is made of.
"""

from __future__ import annotations

import random

from tasks.intake import durations
from tasks.intake.durations import WORDS
from tasks.intake.known_families import KNOWN
from tasks.intake.message import Case, draw
from tasks.intake.rules import severity_of_number, urgency
from tasks.intake.schema import IntakeNote, Severity
from tasks.intake.severities import ADJECTIVES, NUMBERS, SENTENCES

_LEVELS: tuple[Severity, ...] = ("mild", "moderate", "severe")
_NOUNS = {"unspecified": "not said"}


_BY_SITES = tuple(family for family in KNOWN for _ in range(min(3, len(family.sites))))
"""A family of several sites comes thrice as often as one of a single site: each place must be met often enough."""


def document(rng: random.Random) -> str:
    """One document."""
    kind = rng.random()
    if kind < 0.05:
        return rule(rng)
    case = draw(rng, rng.choice(_BY_SITES), short=rng.random() < 0.35)
    if kind < 0.83:
        return markup(case)
    if kind < 0.87:
        return case.text
    if kind < 0.91:
        return f"{case.text}\n{summary(rng, case.note)}"
    if kind < 0.94:
        return dialogue(rng, case)
    return _same(rng, case)


def rule(rng: random.Random) -> str:
    """A few lines of the written rules: what a number, a word or a span of time counts as."""
    return " ".join(rng.choice((_number, _word, _span, _danger))(rng) for _ in range(4))


def _number(rng: random.Random) -> str:
    number = rng.randint(1, 10)
    said = rng.choice(NUMBERS).replace("{k}", str(number)).replace("{w}", WORDS[number])
    return f'"{said}" is {severity_of_number(number)}.'


def _word(rng: random.Random) -> str:
    level = rng.choice(_LEVELS)
    return f'"{rng.choice((*SENTENCES[level], *ADJECTIVES[level]))}" is {level}.'


def _span(rng: random.Random) -> str:
    duration = durations.draw(rng)
    return f'"{rng.choice((duration.adverbial, duration.sentence))}" is {duration.value}.'


def _danger(rng: random.Random) -> str:
    family = rng.choice(KNOWN)
    severity, duration = rng.choice(_LEVELS), durations.draw(rng).value
    return f"{family.name}, {duration}, {severity}: {urgency(family.danger, severity, duration)}."


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
        rng.choice((f"site: {note.site}", f"in the {note.site}", note.site))
        if note.site != "general"
        else "site: general",
        rng.choice((f"duration {_words(note.duration)}", f"it has lasted {_words(note.duration)}")),
        rng.choice((f"severity {_words(note.severity)}", f"{_words(note.severity)} severity")),
        rng.choice((f"medication {_words(note.medication)}", f"took: {_words(note.medication)}")),
        rng.choice((f"urgency {note.urgency}", f"this is {note.urgency}")),
    ]
    return rng.choice((", ", "; ", ". ")).join(parts) + "."


def dialogue(rng: random.Random, case: Case) -> str:
    """The same case asked for piece by piece."""
    note = case.note
    lines = [f"Patient: {case.text}", f"Nurse: So you have {note.symptom}."]
    if note.site != "general":
        lines += ["Nurse: Where is it?", f"Patient: {note.site}."]
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
