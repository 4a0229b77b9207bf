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
    """(set, position) of every guard row, all guards mixed, in the order of a seeded hash of its id."""
    rows = [(s.name, position, e.id) for s in sets if s.role == "guard" for position, e in enumerate(s.examples)]

    def drawn(row: tuple[str, int, str]) -> bytes:
        return hashlib.sha256(f"{seed}|look|{row[0]}|{row[2]}".encode()).digest()

    return [(name, position) for name, position, _ in sorted(rows, key=drawn)]


def narrowed(sets: Sequence[EvaluationSet], rows: Sequence[tuple[str, int]]) -> list[EvaluationSet]:
    """The sets with only these rows of the guards, in their own order."""
    chosen = set(rows)
    return [
        s
        if s.role != "guard"
        else replace(s, examples=[e for position, e in enumerate(s.examples) if (s.name, position) in chosen])
        for s in sets
    ]
