"""The task's own data: messages with their true notes, and pre-training text, from a seed.

Sets: `train` and `test` (known families, taught phrasings), `unseen` (known families in
phrasings that are never taught), `traffic` and `new` (mostly, and only, families that
version 1 never met, in phrasings that corrections may teach), `new_unseen` (those
families in phrasings that traffic does not use).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping

from components.schema import Example, Message, content_id
from tasks.intake import prose
from tasks.intake.distinct import Seen
from tasks.intake.families import Family
from tasks.intake.known_families import KNOWN
from tasks.intake.message import Case, draw
from tasks.intake.new_families import NEW

OLD_TRAFFIC = 0.15
"""Share of new traffic that is about families known before."""
TRIES = 200
LAST = "train"
"""Drawn after all others: nothing is compared with it, and its own rows may resemble each other."""


def example_sets(seed: int, sizes: Mapping[str, int]) -> dict[str, list[Example]]:
    """Rows per set name; no message is a near copy of one in another set.

    Raises:
        ValueError: so many rows of a set are wanted that no distinct message is left to write.
    """
    seen = Seen()
    kinds: dict[str, Callable[[random.Random, int], Case]] = {
        "test": lambda rng, i: draw(rng, _turn(KNOWN, i)),
        "unseen": lambda rng, i: draw(rng, _turn(KNOWN, i), unseen=True),
        "new": lambda rng, i: draw(rng, _turn(NEW, i)),
        "new_unseen": lambda rng, i: draw(rng, _turn(NEW, i), unseen=True),
        "traffic": _traffic,
        "train": lambda rng, i: draw(rng, _turn(KNOWN, i)),
    }
    sets = {}
    for name, draw_case in kinds.items():
        rng = random.Random(f"{seed}/{name}")
        cases = [_distinct(rng, i, draw_case, seen, name) for i in range(sizes.get(name, 0))]
        rng.shuffle(cases)
        sets[name] = [_example(name, case) for case in cases]
    return sets


def corpus(seed: int, documents: int) -> Iterator[str]:
    """Pre-training text about the known families in the taught phrasings; see `prose`."""
    rng = random.Random(f"{seed}/corpus")
    for _ in range(documents):
        yield prose.document(rng)


def _turn(families: tuple[Family, ...], i: int) -> Family:
    return families[i % len(families)]


def _traffic(rng: random.Random, i: int) -> Case:
    families = KNOWN if rng.random() < OLD_TRAFFIC else NEW
    return draw(rng, rng.choice(families))


def _distinct(
    rng: random.Random, i: int, draw_case: Callable[[random.Random, int], Case], seen: Seen, name: str
) -> Case:
    for _ in range(TRIES):
        case = draw_case(rng, i)
        if not seen.has(case.text):
            if name != LAST:
                seen.add(case.text)
            return case
    raise ValueError(f"examples.{name}: no message left that differs from those written; ask for fewer")


def _example(name: str, case: Case) -> Example:
    return Example(
        id=content_id(name, case.text),
        messages=(
            Message(role="user", content=case.text),
            Message(role="assistant", content=case.note.model_dump_json()),
        ),
        group=case.family,
    )
