"""What became of every row: counts a step, and the proof that none was lost on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from components.schema import Dropped
from components.stage import StageError


class Ledger:
    """One stream of rows (the task's own, or feedback events) through the steps of curation."""

    def __init__(self, name: str, rows: int) -> None:
        self.name = name
        self.rows = rows
        self.removed: list[Dropped] = []
        self.changed: list[Dropped] = []
        self._steps: dict[str, dict[str, int]] = {}
        self._ends: dict[str, int] = {}

    def change(self, changes: Iterable[Dropped]) -> None:
        """Note rows that go on in another form."""
        for change in changes:
            self._step(change.step)["changed"] += 1
            self.changed.append(change)

    def remove(self, removed: Iterable[Dropped]) -> None:
        """Note rows that go no further."""
        for row in removed:
            self._step(row.step)[row.action] += 1
            self.removed.append(row)

    def end(self, **files: int) -> None:
        """Note how many rows arrived in each file (or wait outside)."""
        for name, count in files.items():
            self._ends[name] = self._ends.get(name, 0) + count

    def move(self, end: str, other: str, rows: int) -> None:
        """Note that so many of the rows that arrived in one file stay out of it after all."""
        if rows:
            self.end(**{end: -rows, other: rows})

    def _step(self, name: str) -> dict[str, int]:
        return self._steps.setdefault(name, {"changed": 0, "dropped": 0, "quarantined": 0})

    def report(self) -> dict[str, object]:
        """Counts for curation.json, once they add up.

        Raises:
            StageError: rows in are not rows out, or a row was removed twice.
        """
        twice = [id for id, times in Counter(row.id for row in self.removed).items() if times > 1]
        if twice:
            raise StageError(f"curation counts of {self.name} are wrong: row {twice[0]} was removed twice (a defect)")
        out = sum(self._ends.values())
        if out + len(self.removed) != self.rows:
            raise StageError(
                f"curation counts of {self.name} do not add up: {self.rows} rows in, {out} kept and "
                f"{len(self.removed)} removed (a defect; please report it)"
            )
        return {"in": self.rows, "steps": self._steps, "removed": len(self.removed), "out": dict(self._ends)}
