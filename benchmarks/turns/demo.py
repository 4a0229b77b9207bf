"""README's demo, its first turn: what `saqia demo` does, with the feedback written straight into the store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from benchmarks.turns import families
from benchmarks.turns.families import OLD
from benchmarks.turns.people import Answered
from benchmarks.turns.wheel import Wheel, line_of, said
from components.files import read_rows
from components.schema import Example, Feedback
from tasks.intake.generator import OLD_TRAFFIC
from tasks.intake.known_families import KNOWN
from tasks.intake.new_families import NEW

PEOPLE = 5


class Demo(Wheel):
    """One turn of the task as it is shipped: five new families at once, people who are always right."""

    def _families(self) -> tuple[Any, Any]:
        return KNOWN, NEW

    def brings(self, number: int) -> str:
        return "five new families"

    def weights(self, number: int) -> dict[str, float]:
        return {OLD: OLD_TRAFFIC} | dict.fromkeys([f.name for f in self.came], (1 - OLD_TRAFFIC) / len(self.came))

    def counts(self, number: int) -> dict[str, int]:
        return {OLD: self.plan.truth} | dict.fromkeys([f.name for f in self.came], self.plan.truth // len(self.came))

    def guards(self, number: int) -> dict[str, dict[str, float]]:
        return {OLD: {OLD: 1.0}}

    def messages(self, number: int) -> list[Example]:
        """The task's own traffic; where a base is shared, as many other messages of the same kinds."""
        own = read_rows(self.examples("traffic"), Example)
        if self.plan.seed == self.plan.base_seed:
            return own
        sets = [read_rows(self.examples(s.name), Example) for s in self.task.sets]
        seen = families.written([row for rows in sets for row in rows])
        for kind, count in self.counts(number).items():
            self.draws.rows(kind, count)
        name = f"{self.plan.seed}/traffic"
        return families.traffic(name, self.weights(number), len(own), self.known, self.came, seen, self.draws.texts)

    def judged(self, number: int, answers: Sequence[Answered]) -> list[Feedback]:
        now = datetime(2026, 1, 1, tzinfo=UTC)
        return [
            Feedback(
                id=f"f-{place}",
                interaction_id=a.id,
                created_at=now,
                rater=f"simulated-{place % PEOPLE + 1}",
                kind="thumb_up" if a.right else "correction",
                correction=None if a.right else a.truth,
            )
            for place, a in enumerate(answers)
        ]

    def run(self) -> None:
        with said("build"):
            self.build()
        with said("turn 1"):
            self.turn(1)
        print(line_of(self.state.values["turns"][0]), flush=True)
        self.state.values["done"] = True
        self.state.save()
