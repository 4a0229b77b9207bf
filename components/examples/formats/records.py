"""What reading a file of examples gives, and the one way in which a record is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from components.schema import Example, Judged, Message, Preference, Role, content_id

MOST_LOST = 0.05
"""Share of a file's rows that may be lost without a person's word."""


class Unusable(ValueError):
    """This record cannot become an example; the message says why, in a phrase."""


@dataclass(frozen=True)
class Skipped:
    """A place in the file that gave no example. `line` counts from 1; None where no line can be named."""

    line: int | None
    reason: str
    rows: int = 1
    """Rows that are lost with it, as far as that can be counted or estimated."""
    open_end: bool = False
    """The file ends early here: nobody can tell how many rows are missing."""

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}" if self.line is not None else self.reason


@dataclass(frozen=True)
class Imported:
    """What was understood of a file, as what, and what was not and why."""

    examples: tuple[Example, ...]
    format: str
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    """What was decided on the reader's own account, e.g. which column is the label."""
    preferences: tuple[Preference, ...] = ()
    """Pairs of answers, where the file holds such; the chosen ones are the examples."""
    judged: tuple[Judged, ...] = ()
    """Answers judged by themselves, where the file holds such; the good ones are the examples."""

    @property
    def lost(self) -> int:
        """Rows that gave no example."""
        return sum(row.rows for row in self.skipped)

    @property
    def loses_much(self) -> bool:
        """More rows are lost than should go without a person's word, or nobody can tell how many are."""
        understood = max(len(self.examples), len(self.preferences) + len(self.judged))
        return any(row.open_end for row in self.skipped) or self.lost > MOST_LOST * (understood + self.lost)

    def summary(self, at_most: int = 10) -> list[str]:
        """Lines for people: how many rows were understood, and for each reason which were not."""
        lines = [
            f"format: {self.format}",
            f"understood: {len(self.examples)} rows; not understood: {self.lost}",
        ]
        lines += [f"note: {note}" for note in self.notes]
        return lines + reasons(self.skipped, at_most)


def reasons(skipped: Sequence[Skipped], at_most: int = 10) -> list[str]:
    """Lines for people: each reason with the places that it is about."""
    found: dict[str, list[int | None]] = {}
    for row in skipped:
        found.setdefault(row.reason, []).append(row.line)
    shown = list(found.items())[:at_most]
    lines = [f"  {_places(where)}{reason}" for reason, where in shown]
    more = len(skipped) - sum(len(where) for _, where in shown)
    if more:
        others = len(found) - len(shown)
        lines.append(f"  … and {more} more, for {others} other reason{'s' if others > 1 else ''}")
    return lines


_RUNS = 12
"""Most runs of lines that a summary names for one reason."""


def _places(where: list[int | None]) -> str:
    """`line 4: ` or `lines 4–15, 18: `; nothing where no line can be named."""
    runs: list[list[int]] = []
    for line in where:
        if line is None:
            return ""
        if runs and line == runs[-1][1] + 1:
            runs[-1][1] = line
        else:
            runs.append([line, line])
    named = ", ".join(f"{first}" if first == last else f"{first}–{last}" for first, last in runs[:_RUNS])
    rest = sum(last - first + 1 for first, last in runs[_RUNS:])
    return f"line{'s' if len(where) > 1 else ''} {named}{f' and {rest} more' if rest else ''}: "


@dataclass
class Record:
    """One JSON object of the file and the line on which it begins."""

    line: int
    value: dict[str, Any] = field(default_factory=dict)
    mended: str = ""
    """What was passed over to read it, in words."""


def text_of(value: object, key: str) -> str:
    """A record's text.

    Raises:
        Unusable: it is missing, not text, or holds half a surrogate pair.
    """
    if value is None:
        raise Unusable(f"{key} is missing")
    if not isinstance(value, str):
        raise Unusable(f"{key} is {kind_of(value)}, not text")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise Unusable(f"{key} holds half of a surrogate pair, which is no character") from None
    return value


def filled(value: object, key: str) -> str:
    """A record's text that may not be empty.

    Raises:
        Unusable: as `text_of`, or there is nothing but space.
    """
    text = text_of(value, key)
    if not text.strip():
        raise Unusable(f"{key} is empty")
    return text


def example(turns: list[tuple[Role, str]]) -> Example:
    """An example of these turns, after checking that user and assistant alternate and the assistant ends.

    Raises:
        Unusable: saying which turn is out of place.
    """
    body = [role for role, _ in turns if role != "system"]
    if any(role == "system" for role, _ in turns[1:]):
        raise Unusable("a system message that is not the first")
    if not body or body[0] != "user":
        raise Unusable("the conversation does not begin with the user")
    for number, (before, after) in enumerate(pairwise(body), 2):
        if before == after:
            raise Unusable(f"turn {number}: two turns of the {after} in a row")
    if body[-1] != "assistant":
        raise Unusable("the last turn is not the assistant's: there is no answer to learn")
    messages = tuple(Message(role=role, content=text) for role, text in turns)
    return Example(id=content_id(*(f"{m.role}\x1e{m.content}" for m in messages)), messages=messages)


def with_system(system: object, turns: list[tuple[Role, str]]) -> list[tuple[Role, str]]:
    """The turns after a system message, where there is one."""
    if system is None:
        return turns
    text = text_of(system, "system")
    return [("system", text), *turns] if text.strip() else turns


def kind_of(value: object) -> str:
    """A JSON value's type in words."""
    names = {bool: "true/false", int: "a number", float: "a number", list: "a list", dict: "an object", str: "text"}
    return names.get(type(value), "nothing" if value is None else type(value).__name__)
