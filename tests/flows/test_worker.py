"""When corrections start a turn: at the limit, and again only for as many more."""

from __future__ import annotations

from flows.worker import due


def test_a_turn_is_due_at_the_limit_and_not_before() -> None:
    assert not due(waiting=49, announced=0, limit=50)
    assert due(waiting=50, announced=0, limit=50)


def test_what_was_announced_is_not_announced_again() -> None:
    assert not due(waiting=50, announced=50, limit=50)
    assert not due(waiting=99, announced=50, limit=50)
    assert due(waiting=100, announced=50, limit=50)
