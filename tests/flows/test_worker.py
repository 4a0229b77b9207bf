"""When a turn starts: at the limit of corrections and again only for as many more, when a person asks for it, and by
what speaks against the champion."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from components import asking, config
from components.feedback import evidence
from components.feedback.drift import Drift
from components.feedback.evidence import Evidence, Window
from components.feedback.store import Store
from flows import evidence as evidence_now
from flows.worker import Looks, due, reason_now


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


def test_the_same_evidence_asks_for_one_turn_and_only_where_there_is_something_to_learn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = config.places(tmp_path)
    found = drifted()
    evidence.write(places.home, "mail", found)
    monkeypatch.setattr(evidence_now, "_champion", lambda task: SimpleNamespace(version="1"))
    monkeypatch.setattr("flows.worker.EVIDENCE_SECONDS", 0.0)
    settings = config.parse({"task": "mail"})
    with Store(f"sqlite:///{tmp_path / 'store.db'}") as store:
        looks = Looks(places, tmp_path)
        assert looks.reason(store, "mail", 79, settings) is None
        reason = looks.reason(store, "mail", 80, settings)
        assert reason is not None
        assert "by 0.100 bits of Jensen-Shannon divergence" in reason
        looks.started("mail")
        assert looks.reason(store, "mail", 90, settings) is None
        assert Looks(places, tmp_path).reason(store, "mail", 90, settings) is None, "nor after a restart"


def drifted() -> Evidence:
    now = datetime(2026, 5, 1, tzinfo=UTC)
    found = Drift(divergence=0.1, noise=0.02, bound=0.03, p=0.0005, messages=300, taught=900, words=())
    window = Window(at=now, version="1", after=None, through=now, found=found, news=True, drifted=True)
    return Evidence(windows=(window,))
