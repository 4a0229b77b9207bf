"""How the demo deals its traffic out to turns."""

from __future__ import annotations

from components.schema import Example, Message
from flows.people import parts


def row(id: str, group: str | None) -> Example:
    messages = (Message(role="user", content=id), Message(role="assistant", content="yes"))
    return Example(id=id, messages=messages, group=group)


def test_every_turn_brings_whole_groups_that_are_new_and_no_message_is_lost() -> None:
    sizes = {"a": 9, "b": 8, "c": 7, "d": 1, "e": 1}
    rows = [row(f"{group}{n}", group) for group, size in sizes.items() for n in range(size)]
    first, second = parts(rows, 2)
    assert {e.group for e in first}.isdisjoint({e.group for e in second})
    assert sorted(e.id for e in (*first, *second)) == sorted(e.id for e in rows)
    assert len({e.group for e in first} & {"a", "b", "c"}) == 2
    assert len({e.group for e in second} & {"a", "b", "c"}) == 1


def test_messages_without_groups_are_halved() -> None:
    first, second = parts([row(str(n), None) for n in range(10)], 2)
    assert len(first) == len(second) == 5
