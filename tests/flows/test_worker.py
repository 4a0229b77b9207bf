"""When a turn starts: at the limit of corrections and again only for as many more, when a person asks for it, and by
what speaks against the champion."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components import asking, config
from components.feedback import evidence, unserved
from components.feedback.drift import Drift
from components.feedback.evidence import Evidence, Window
from components.feedback.refusals import OwnRows, Refusal
from components.feedback.store import Store, Turn
from components.schema import Need
from flows import evidence as evidence_now
from flows.worker import Looks, Refusals, due, reason_now, watch
from tests.flows.test_entry import correct


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


def refused(store: Store, *needs: Need) -> Turn:
    turn = store.open_turn("intake") or store.turns("intake")[-1]
    refusal = Refusal(needs=needs, own_rows=OwnRows(sha256="before"))
    return store.close_turn(turn, "2", "refused", refusal)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Version 1 serves, and one correction was written."""
    champion = SimpleNamespace(version="1", lineage=SimpleNamespace(snapshots=()))
    monkeypatch.setattr("components.registry.champion", lambda task: champion)
    monkeypatch.setattr("components.registry.canary", lambda task: None)
    monkeypatch.setattr("flows.unserved.own_rows", lambda root, task: OwnRows(sha256="after"))
    with Store(f"sqlite:///{tmp_path / 'store.db'}") as opened:
        correct(opened, 0)
        yield opened


SETTINGS = config.parse({"task": "intake", "improve": {"corrections": 50}})


def test_what_a_refused_turn_needed_starts_exactly_one_turn_when_it_has_come_and_none_before(
    store: Store, tmp_path: Path
) -> None:
    refusals = Refusals(tmp_path)

    def reason() -> str | None:
        return refusals.reason(store, "intake", store.waiting("intake")["correction"], SETTINGS)

    assert reason() is None, "nothing was refused"
    refused(store, Need(kind="corrections", count=2))
    correct(store, 1)
    assert reason() is None
    correct(store, 2)
    assert reason() == "turn 1 was refused, and what it needed has come: 2 more corrections of the same kind"
    assert reason() is not None, "it speaks until it was asked for"
    refusals.started("intake")
    correct(store, 3)
    assert [reason(), reason()] == [None, None]
    turn = store.open_turn("intake")
    assert turn is not None
    assert reason() is None, "it runs"
    store.close_turn(turn, "3", "refused", Refusal(needs=(Need(kind="corrections", count=1),)))
    assert reason() is None, "refused again, it waits for what is needed now"
    correct(store, 4)
    assert reason() == "turn 2 was refused, and what it needed has come: one more correction of the same kind"


def test_more_rows_start_the_refused_turn_once_and_a_new_worker_goes_on_with_it(store: Store, tmp_path: Path) -> None:
    turn = refused(store, Need(kind="guard_rows", count=300))
    refusals = Refusals(tmp_path)
    assert refusals.reason(store, "intake", 0, SETTINGS) is not None
    refusals.started("intake")
    assert refusals.reason(store, "intake", 0, SETTINGS) is None
    assert Refusals(tmp_path).reason(store, "intake", 0, SETTINGS) is not None, "a worker that was killed asks again"
    store.reopen_turn(turn, OwnRows(sha256="after"))
    assert refusals.reason(store, "intake", 0, SETTINGS) is None
    later = Refusals(tmp_path)
    assert later.reason(store, "intake", 0, SETTINGS) == "turn 1 runs again, and was interrupted"
    assert later.reason(store, "intake", 0, SETTINGS) is None
    again = store.turns("intake")[-1]
    store.close_turn(
        again, "3", "refused", turn.refusal and turn.refusal.model_copy(update={"own_rows": OwnRows(sha256="after")})
    )
    assert Refusals(tmp_path).reason(store, "intake", 0, SETTINGS) is None, "the same rows give the same verdict"


def test_a_refused_turn_that_serves_all_the_same_starts_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = refused(store, Need(kind="guard_rows", count=300))
    champion = SimpleNamespace(version="2", lineage=SimpleNamespace(snapshots=(turn.snapshot,)))
    monkeypatch.setattr("components.registry.champion", lambda task: champion)
    assert Refusals(tmp_path).reason(store, "intake", 0, SETTINGS) is None


def test_the_worker_asks_for_one_turn_when_what_was_needed_has_come(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tasks" / "intake").mkdir(parents=True)
    (tmp_path / "tasks" / "intake" / "task.yaml").write_text("name: intake\ntitle: Intake\nanswer: text\n")
    (tmp_path / "params.yaml").write_text("task: intake\n")
    announced: list[str] = []
    monkeypatch.setattr("flows.deployments.announce", lambda task, waiting, reason: announced.append(reason))
    monkeypatch.setattr("flows.worker.LOOK_SECONDS", 0.01)
    refused(store, Need(kind="corrections", count=2))
    correct(store, 1)
    stop, looks = threading.Event(), threading.Semaphore(0)
    waiting = Store.waiting

    def counted(store: Store, task: str) -> dict[str, int]:
        looks.release()
        return waiting(store, task)

    monkeypatch.setattr(Store, "waiting", counted)
    places = config.Places(database_url=store.url).absolute(tmp_path)
    watcher = threading.Thread(target=watch, args=(places, tmp_path, stop), daemon=True)
    watcher.start()

    def look(times: int) -> None:
        for _ in range(times):
            assert looks.acquire(timeout=60)

    try:
        look(5)
        assert announced == []
        correct(store, 2)
        look(10)
    finally:
        stop.set()
        watcher.join(60)
    assert announced == ["turn 1 was refused, and what it needed has come: 2 more corrections of the same kind"]


def test_drift_of_a_refused_turn_is_still_there_until_a_turn_of_it_serves(store: Store, tmp_path: Path) -> None:
    places = config.places(tmp_path)
    found = evidence.started(drifted())
    evidence.write(places.home, "intake", found)
    turn = refused(store, Need(kind="none"))

    def line(champion: str, *snapshots: Any) -> str:
        waiting = unserved.unserved(store, "intake", snapshots)
        return evidence_now.lines(places, "intake", SETTINGS, champion, waiting)[0]

    still = "still there: turn 1, which it started, was refused; version 1 goes on serving"
    assert still in line("1")
    again = found.windows[0].model_copy(update={"news": False, "drifted": False, "through": NOW + timedelta(days=1)})
    evidence.write(places.home, "intake", found.model_copy(update={"windows": (*found.windows, again)}))
    assert still in line("1")
    assert "still there" not in line("2", turn.snapshot)
    assert "as when drift started a turn" in line("1", turn.snapshot)
    other = again.model_copy(update={"news": True, "drifted": True})
    evidence.write(places.home, "intake", found.model_copy(update={"windows": (*found.windows, other)}))
    assert ": drifted" in line("1"), "another drift is news"
    taught = other.model_copy(update={"drifted": False})
    evidence.write(places.home, "intake", found.model_copy(update={"windows": (*found.windows, taught)}))
    assert ": as taught" in line("1")


NOW = datetime(2026, 5, 1, tzinfo=UTC)


def drifted() -> Evidence:
    found = Drift(divergence=0.1, noise=0.02, bound=0.03, p=0.0005, messages=300, taught=900, words=())
    window = Window(at=NOW, version="1", after=None, through=NOW, found=found, news=True, drifted=True)
    return Evidence(windows=(window,))
