"""When a turn starts: at the limit of corrections, again only for as many more, and when a person asks for it."""

from __future__ import annotations

from pathlib import Path

from components import asking
from flows.worker import due, reason_now


def test_a_turn_is_due_at_the_limit_and_not_before() -> None:
    assert not due(waiting=49, announced=0, limit=50)
    assert due(waiting=50, announced=0, limit=50)


def test_what_was_announced_is_not_announced_again() -> None:
    assert not due(waiting=50, announced=50, limit=50)
    assert not due(waiting=99, announced=50, limit=50)
    assert due(waiting=100, announced=50, limit=50)


def test_a_persons_request_is_a_reason_once_and_by_name(tmp_path: Path) -> None:
    assert reason_now(tmp_path, "intake", waiting=3, announced=0, limit=50) is None
    asking.ask(tmp_path, "intake", "ana")
    assert reason_now(tmp_path, "other", waiting=3, announced=0, limit=50) is None
    assert reason_now(tmp_path, "intake", waiting=3, announced=0, limit=50) == "a person's button (ana)"
    assert reason_now(tmp_path, "intake", waiting=3, announced=3, limit=50) is None
    assert reason_now(tmp_path, "intake", 50, 0, 50) == "50 corrections wait (improve.corrections: 50)"
