"""Messages about parcels: four subjects that version 1 is taught, and one that only new traffic brings."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

from components.schema import Example, Message, content_id

KNOWN = {
    "late": ("is three days late", "should have come last week", "is still not here"),
    "broken": ("came with a crack in it", "arrived in pieces", "is broken on one side"),
    "missing": ("has vanished from the porch", "was never in the box", "is lost"),
    "thanks": ("came early, thank you", "is lovely, many thanks", "arrived safely, thanks a lot"),
}
"""Version 1's subjects."""
NEW = {"customs": ("is held at the border", "waits for customs papers", "needs import duty paid")}
"""What the demo's traffic brings."""
LATER = {"refund": ("was sent back and I want my money", "cost too much, refund me", "must be paid back to me")}
"""What comes after that: for a second turn."""
ITEMS = "lamp kettle rug chair clock vase coat guitar kite tent drum globe mirror basket teapot helmet".split()  # noqa: SIM905
COLOURS = "red blue green white black yellow brown purple orange grey pink silver golden violet".split()  # noqa: SIM905
PLACES = "Leeds Cork Bath York Derby Hull Oxford Dover Perth Truro Ripon Wells Stoke Luton Exeter Bolton".split()  # noqa: SIM905
OPENINGS = ("Hello,", "Hi there,", "Good morning,", "Excuse me,", "Dear team,", "")
CLOSINGS = ("Please tell me what happens next.", "I live near the old station.", "It was a present.", "", "Regards.")


def message(rng: random.Random, phrases: tuple[str, ...]) -> str:
    parts = (
        rng.choice(OPENINGS),
        f"my {rng.choice(COLOURS)} {rng.choice(ITEMS)} from {rng.choice(PLACES)}",
        f"for {rng.choice(PLACES)} {rng.choice(phrases)}.",
        rng.choice(CLOSINGS),
    )
    return " ".join(p for p in parts if p)


def example_sets(seed: int, sizes: Mapping[str, int]) -> dict[str, list[Example]]:
    """Rows per set name; no two share colour, item and places, so none is a near copy of another."""
    seen: set[frozenset[str]] = set()
    sets: dict[str, list[Example]] = {}
    for name, subjects in (("test", KNOWN), ("new", NEW), ("traffic", NEW), ("train", KNOWN)):
        rng = random.Random(f"{seed}/{name}")
        rows: list[Example] = []
        while len(rows) < sizes.get(name, 0):
            subject = list(subjects)[len(rows) % len(subjects)]
            text = message(rng, subjects[subject])
            kept = set(text.lower().replace(".", "").split())
            key = frozenset(kept & {w.lower() for w in (*ITEMS, *COLOURS, *PLACES)})
            if key in seen:
                continue
            seen.add(key)
            rows.append(
                Example(
                    id=content_id(name, text),
                    messages=(Message(role="user", content=text), Message(role="assistant", content=subject)),
                    group=subject,
                )
            )
        sets[name] = rows
    return sets


def corpus(seed: int, documents: int) -> Iterator[str]:
    """Messages of the known subjects, each followed by its subject."""
    rng = random.Random(f"{seed}/corpus")
    for _ in range(documents):
        subject = rng.choice(list(KNOWN))
        yield f"{message(rng, KNOWN[subject])} {subject} {rng.choice((*KNOWN, *NEW))}"
