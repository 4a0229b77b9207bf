"""From a chosen phrasing and duration to the sentence that carries the complaint."""

from __future__ import annotations

import random

from tasks.intake.durations import Duration
from tasks.intake.families import Phrasing

PLAIN = {
    "n": (
        "I have {x}",
        "I've got {x}",
        "I'm having {x}",
        "I've been having {x}",
        "I'm suffering from {x}",
        "I'm writing about {x}",
        "{x}",
        "there's {x}",
        "I woke up with {x}",
        "I keep getting {x}",
        "I need help with {x}",
        "I think I have {x}",
        "lately I have {x}",
        "once again I have {x}",
        "I'm calling about {x}",
        "I'm dealing with {x}",
        "my problem is {x}",
        "I seem to have {x}",
        "what bothers me is {x}",
        "I'm troubled by {x}",
    ),
    "c": (
        "{x}",
        "{x}",
        "{x}",
        "the thing is {x}",
        "I'm worried because {x}",
        "the problem is that {x}",
        "lately {x}",
        "I noticed that {x}",
        "I think {x}",
        "it's just that {x}",
        "basically {x}",
    ),
    "g": ("I keep {x}", "I've been {x}", "I am {x}", "I'm {x}", "I started {x}"),
}
WITH_DURATION = {
    "n": (
        "I've had {x} {d}",
        "I have had {x} {d}",
        "I've been having {x} {d}",
        "{x} {d}",
        "{d} I've had {x}",
        "I have {x} {d}",
        "I've been suffering from {x} {d}",
        "{x}, {d}",
        "I've been dealing with {x} {d}",
        "{d} I have been having {x}",
        "I'm having {x} {d}",
    ),
    "c": (
        "{d} {x}",
        "{d} now, {x}",
        "{x} {d}",
        "{x}, {d}",
        "{x} and it's been like that {d}",
        "{d} it's the same: {x}",
    ),
    "g": ("I've been {x} {d}", "I have been {x} {d}", "{d} I've been {x}", "been {x} {d}", "{x} {d}"),
}


_GRADED = frozenset(
    (
        "ache",
        "backache",
        "burn",
        "burning",
        "cough",
        "cramp",
        "earache",
        "feeling",
        "fever",
        "headache",
        "infection",
        "itch",
        "migraine",
        "noise",
        "nosebleed",
        "pain",
        "pressure",
        "rash",
        "ringing",
        "sensation",
        "sound",
        "stiffness",
        "swelling",
        "temperature",
        "throbbing",
        "toothache",
        "tremor",
        "wheeze",
    )
)


def takes_adjective(phrasing: Phrasing) -> bool:
    """May "severe" go before it? It may before "a …" where what follows can be mild or severe."""
    return phrasing.kind == "n" and all(
        text.startswith("a ") and " that " not in text and not _GRADED.isdisjoint(text.split())
        for text in phrasing.texts
    )


def complaint(
    rng: random.Random, phrasing: Phrasing, site: str, duration: Duration, adjective: str
) -> tuple[str, bool]:
    """The sentence, and whether it already says the duration.

    `adjective` (a severity) goes before a noun phrase that begins with "a"; pass "" for none.
    """
    text = rng.choice(phrasing.texts).replace("{site}", site)
    if adjective:
        text = f"{'an' if adjective[0] in 'aeiou' else 'a'} {adjective} {text.split(' ', 1)[1]}"
    if duration.adverbial and rng.random() < 0.5:
        frame = rng.choice(WITH_DURATION[phrasing.kind])
        return frame.replace("{x}", text).replace("{d}", duration.adverbial).replace("now now", "now"), True
    return rng.choice(PLAIN[phrasing.kind]).replace("{x}", text), False
