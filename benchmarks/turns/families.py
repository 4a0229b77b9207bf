"""Twenty families that version 1 knows, ten that come one a turn, and the messages of each turn.

tasks/intake keeps five families out of version 1. Ten turns need ten, so the copy of the task that this benchmark
works with moves five more of them from `known_families` to `new_families`: then corpus, instruction rows, train and
test speak of twenty. They were chosen so that no remark about a relative's illness names them
(`tasks/intake/surroundings.py`), and before anything was measured.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from components.schema import Example, Message, content_id
from tasks.intake.distinct import Seen
from tasks.intake.families import Family
from tasks.intake.known_families import KNOWN
from tasks.intake.message import Case, draw
from tasks.intake.new_families import NEW

MOVED = ("blurred vision", "palpitations", "constipation", "painful urination", "swelling")
OLD = "old kinds"
"""What the known families together are called in results."""
SHARES = {"current": 0.4, "earlier": 0.3, OLD: 0.3}
"""Of a turn's messages; before any family came, the old kinds have the earlier ones' share, too."""
TRIES = 200

KNOWN_LINES = """

# benchmarks.turns: these come later
MOVED = tuple(family for family in KNOWN if family.name in {names})
KNOWN = tuple(family for family in KNOWN if family.name not in {names})
"""
NEW_LINES = """

# benchmarks.turns: and those that version 1 does not know here
from tasks.intake.known_families import MOVED  # noqa: E402

NEW = (*NEW, *MOVED)
"""


def move(task_folder: Path) -> None:
    """Take `MOVED` out of version 1 in a copy of tasks/intake."""
    for file, lines in (("known_families.py", KNOWN_LINES.format(names=MOVED)), ("new_families.py", NEW_LINES)):
        path = task_folder / file
        path.write_text(path.read_text(encoding="utf-8") + lines, encoding="utf-8")


def split() -> tuple[tuple[Family, ...], tuple[Family, ...]]:
    """The known families and those that come later; the same in the project and in the copy that `move` changed."""
    every = {family.name: family for family in (*KNOWN, *NEW)}
    new = {family.name for family in NEW} | set(MOVED)
    known = tuple(family for name, family in every.items() if name not in new)
    return known, tuple(family for name, family in sorted(every.items()) if name in new)


def order(seed: int, later: Sequence[Family]) -> list[Family]:
    """In which order the families come; drawn anew for every seed."""
    return random.Random(f"{seed}/order").sample(later, len(later))


class Draws:
    """Independent rows of each kind: never taught, never in a verdict; they say how good a version truly is."""

    def __init__(self, seed: int, known: Sequence[Family], later: Sequence[Family]) -> None:
        self._seed = seed
        self._families = {OLD: tuple(known), **{family.name: (family,) for family in later}}
        self._rows: dict[str, list[Example]] = {kind: [] for kind in self._families}
        self._sources = {kind: self._source(kind) for kind in self._families}
        self.texts: set[str] = set()

    def rows(self, kind: str, count: int) -> list[Example]:
        """The first `count` rows of a kind; more of them begin with the same ones."""
        rows = self._rows[kind]
        while len(rows) < count:
            case = next(self._sources[kind])
            self.texts.add(case.text)
            rows.append(example(case))
        return rows[:count]

    def _source(self, kind: str) -> Iterator[Case]:
        rng = random.Random(f"{self._seed}/truth/{kind}")
        families = self._families[kind]
        number = 0
        while True:
            yield draw(rng, families[number % len(families)])
            number += 1


def mixture(turn: int, came: Sequence[str]) -> dict[str, float]:
    """Of which kinds the messages of a turn are; `came` are all families in their order."""
    current, earlier = came[turn - 1], came[: turn - 1]
    shares = {current: SHARES["current"], OLD: SHARES[OLD] + (0 if earlier else SHARES["earlier"])}
    return shares | {name: SHARES["earlier"] / len(earlier) for name in earlier}


def traffic(
    seed: str,
    shares: Mapping[str, float],
    count: int,
    known: Sequence[Family],
    later: Sequence[Family],
    seen: Seen,
    exclude: Collection[str],
) -> list[Example]:
    """Messages of these kinds with their truth, in the taught phrasings.

    Args:
        seen: messages of which these must be no near copies; they are added to it.
        exclude: texts that must not be among them (the independent draws).
    """
    rng = random.Random(seed)
    by_name = {family.name: family for family in later}
    rows = []
    for kind in rng.choices(list(shares), weights=list(shares.values()), k=count):
        for _ in range(TRIES):
            case = draw(rng, by_name[kind] if kind in by_name else rng.choice(known))
            if not seen.has(case.text) and case.text not in exclude:
                break
        seen.add(case.text)
        rows.append(example(case))
    return rows


def written(rows: Sequence[Example]) -> Seen:
    """The messages of rows that others must be no near copies of."""
    seen = Seen()
    for row in rows:
        seen.add(row.question)
    return seen


def example(case: Case) -> Example:
    """A case as a row; its group is its family."""
    messages = (
        Message(role="user", content=case.text),
        Message(role="assistant", content=case.note.model_dump_json()),
    )
    return Example(id=content_id("turns", case.text), messages=messages, group=case.family)
