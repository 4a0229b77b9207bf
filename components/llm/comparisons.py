"""Comparisons by a judge as preference pairs: two answers to a prompt, judged in both orders.

Only a verdict that holds in both orders becomes a `Preference`, with source "ai". Everything else is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from components.llm.judge import Judge
from components.llm.side_by_side import side_by_side
from components.schema import Example, Message, Preference, content_id
from components.scoring import same, score
from components.task import Task

Answerer = Callable[[Sequence[Message], int], Sequence[str]]
"""(prompt, number of the prompt) → two answers."""


@dataclass
class Judged:
    """What came of all comparisons."""

    pairs: list[Preference] = field(default_factory=list)
    alike: int = 0
    """Prompts whose two answers are the same."""
    undecided: int = 0
    """In both orders the judge preferred neither."""
    inconsistent: int = 0
    """The verdict changed with the order."""
    known: int = 0
    """Pairs of which the row's own answer says which is better; a teacher's answer says nothing."""
    agreed: int = 0
    """Of those, the ones where the judge says the same."""

    @property
    def asked(self) -> int:
        """Prompts."""
        return self.compared + self.alike

    @property
    def compared(self) -> int:
        return len(self.pairs) + self.undecided + self.inconsistent

    @property
    def inconsistent_share(self) -> float | None:
        """Of what was compared; None where nothing was."""
        return self.inconsistent / self.compared if self.compared else None

    @property
    def agreement(self) -> float | None:
        """With the truth, where that is known."""
        return self.agreed / self.known if self.known else None


def compare(
    task: Task, rows: Sequence[Example], answer: Answerer, judge: Judge, rater: str, version: str, parallel: int = 1
) -> Iterator[Judged]:
    """Judge two answers to each row's prompt; yields the account after each, the last one is the whole.

    Args:
        rater: who judges, for the pairs.
        version: who answered, for the pairs.
        parallel: rows at a time; the result does not depend on it.

    Raises:
        StageError: an endpoint failed.
    """

    def ask(numbered: tuple[int, Example]) -> tuple[Example, str, str, str, str]:
        number, row = numbered
        one, other = answer(row.prompt, number)
        if not one.strip() or not other.strip() or same(task, one, other):
            return row, one, other, "alike", "alike"
        return row, one, other, judge(row.prompt, one, other), judge(row.prompt, other, one)

    judged = Judged()
    for row, one, other, forth, back in side_by_side(ask, enumerate(rows), parallel):
        _count(judged, task, row, one, other, (forth, back), rater, version)
        yield judged


def _count(
    judged: Judged, task: Task, row: Example, one: str, other: str, said: tuple[str, str], rater: str, version: str
) -> None:
    match said:
        case ("alike", _):
            judged.alike += 1
        case ("neither", "neither"):
            judged.undecided += 1
        case ("first", "second") | ("second", "first"):
            chosen, rejected = (one, other) if said[0] == "first" else (other, one)
            judged.pairs.append(
                Preference(
                    id=content_id("pair", *(f"{m.role}\x1e{m.content}" for m in row.prompt), chosen, rejected, rater),
                    prompt=row.prompt,
                    chosen=chosen,
                    rejected=rejected,
                    source="ai",
                    rater=rater,
                    chosen_version=version,
                    rejected_version=version,
                )
            )
            better, worse = (_goodness(task, row, text) for text in (chosen, rejected))
            if better != worse and row.source != "teacher":
                judged.known += 1
                judged.agreed += better > worse
        case _:
            judged.inconsistent += 1


def _goodness(task: Task, row: Example, answer: str) -> tuple[float, ...]:
    """How near an answer is to the row's own: equal, then the share of right fields or of common words."""
    found = score(task, "judged", row, answer)
    fields = sum(found.fields.values()) / len(found.fields) if found.fields else found.similarity
    return float(found.exact), fields
