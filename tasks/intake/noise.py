"""How people really type: a slip of the finger, no capitals, no apostrophes."""

from __future__ import annotations

import random
from itertools import pairwise

from tasks.intake.surroundings import GREETINGS

_JOINTS = (", ", ", ", " - ", "... ", ". ", " and ")


def typo(rng: random.Random, text: str) -> str:
    """One slip in one longer word: two letters swapped, one lost or one doubled. Digits are left alone."""
    words = text.split(" ")
    places = [i for i, word in enumerate(words) if len(word) >= 5 and word.isalpha()]
    if not places:
        return text
    i = rng.choice(places)
    word = words[i]
    at = rng.randrange(1, len(word) - 2)
    kind = rng.randrange(3)
    if kind == 0:
        word = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    elif kind == 1:
        word = word[:at] + word[at + 1 :]
    else:
        word = word[:at] + word[at] + word[at:]
    words[i] = word
    return " ".join(words)


def join(rng: random.Random, sentences: list[str]) -> str:
    """Sentences as one message in one writer's manner: careful, all lower case, run together, or terse lines."""
    manner = rng.random()
    if manner < 0.5:
        text = _stops([s[0].upper() + s[1:] for s in sentences])
    elif manner < 0.72:
        text = _stops(sentences).lower()
        text = text.removesuffix(".")
    elif manner < 0.92:
        text = sentences[0]
        for before, sentence in pairwise(sentences):
            # A greeting or a question is not joined with "and".
            plain = before not in GREETINGS and not before.endswith("?") and not sentence.endswith("?")
            text += rng.choice(_JOINTS if plain else _JOINTS[:-1]) + sentence
        text = text[0].upper() + text[1:]
        if rng.random() < 0.5:
            text = text.lower()
    else:
        text = _stops([s[0].upper() + s[1:] for s in sentences], "!")
    if rng.random() < 0.12:
        text = text.replace("'", "")
    if rng.random() < 0.12:
        text = typo(rng, text)
    return text


def _stops(sentences: list[str], stop: str = ".") -> str:
    return " ".join(s if s.endswith("?") else f"{s}{'.' if i else stop}" for i, s in enumerate(sentences))
