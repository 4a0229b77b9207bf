"""The sets that a candidate is tested on, and the order in which the rows of old tests are looked at."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from components import layout
from components.files import read_rows
from components.schema import Example
from components.sentences import say
from components.task import Task

Role = Literal["target", "guard", "regression", "critical", "shown"]


@dataclass(frozen=True)
class EvaluationSet:
    """Examples that nothing was taught from."""

    name: str
    title: str
    role: Role
    examples: Sequence[Example]


def load_sets(task: Task, root: Path = Path(".")) -> list[EvaluationSet]:
    """This turn's target, fixed cases, critical ones, replay, and the task's own sets.

    Raises:
        DataError: a file is missing or a line is no example.
    """
    curated, own = root / layout.curated(task.name), root / layout.examples(task.name)
    every: tuple[tuple[str, Role], ...] = (
        ("target", "target"),
        ("regression", "regression"),
        ("critical", "critical"),
        ("replay", "guard"),
    )
    sets = [
        EvaluationSet(name, say(f"set_{name}"), role, read_rows(curated / f"{name}.jsonl", Example))
        for name, role in every
        if name != "critical" or (curated / "critical.jsonl").exists()
    ]
    sets += [EvaluationSet(s.name, s.title, s.role, read_rows(own / f"{s.name}.jsonl", Example)) for s in task.sets]
    return sets


def look_order(sets: Sequence[EvaluationSet], seed: int) -> list[tuple[str, int]]:
    """(set, position) of every guard row in the order in which they are looked at.

    A row of each guard in turn, each guard's own in the order of a seeded hash. So a small guard, which needs all its
    rows, has them early, and large ones are looked at only as far as it takes.
    """
    ranked = []
    for s in sets:
        if s.role == "guard":
            ids = [(_drawn(seed, s.name, e.id), position) for position, e in enumerate(s.examples)]
            ranked += [(rank, drawn, s.name, position) for rank, (drawn, position) in enumerate(sorted(ids))]
    return [(name, position) for _, _, name, position in sorted(ranked)]


def _drawn(seed: int, name: str, id: str) -> bytes:
    return hashlib.sha256(f"{seed}|look|{name}|{id}".encode()).digest()


def narrowed(sets: Sequence[EvaluationSet], rows: Sequence[tuple[str, int]]) -> list[EvaluationSet]:
    """The sets with only these rows of the guards, in their own order."""
    chosen = set(rows)
    return [
        s
        if s.role != "guard"
        else replace(s, examples=[e for position, e in enumerate(s.examples) if (s.name, position) in chosen])
        for s in sets
    ]
