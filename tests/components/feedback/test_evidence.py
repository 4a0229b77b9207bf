"""What speaks for a turn, over a real store: enough looks, surely too many failures, drift; and nothing twice."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from components import config
from components.feedback import evidence
from components.feedback.evidence import Evidence
from components.feedback.review import ReviewQueue
from components.feedback.store import Store
from components.schema import Message
from components.task import Task
from tests.components.feedback.conftest import Served

MAIL = Task(name="mail", title="Mail", answer="label", labels=("ham", "spam"))
ALL_DRAWN = {"sample": 1, "sample_every": 1, "two_reviewers": 0, "gold": 0, "low_confidence": 0}
TAUGHT = [f"the {thing} costs {number} pounds" for thing in ("tea", "coffee", "milk") for number in range(40)]
Ask = Callable[..., None]


def settings(**improve: Any) -> config.Settings:
    wanted = {"drift": {"messages": 50}, "failure_rate": {"looks": 10}} | improve
    return config.parse({"task": "mail", "review": ALL_DRAWN, "improve": wanted})


@pytest.fixture
def ask(store: Store, served: Served) -> Ask:
    """Store answers of task `mail`, one a microsecond from now on."""
    number = 0

    def add(texts: list[str], **changes: Any) -> None:
        nonlocal number
        now = datetime.now(UTC)
        for place, text in enumerate(texts):
            number += 1
            moment = now + timedelta(microseconds=place)
            values = {"task": "mail", "answer": "ham", "created_at": moment, "model_version": "1"}
            values["messages"] = (Message(role="system", content="Label."), Message(role="user", content=text))
            store.add_interaction(served(f"q{number}", **(values | changes)))

    return add


def look(store: Store, wanted: config.Settings, right: int, wrong: int) -> None:
    queue = ReviewQueue(store, MAIL, wanted)
    for number in range(right + wrong):
        item = queue.take("ann")
        assert item is not None
        queue.look("ann", item.interaction.id, "accept" if number < right else "reject")


def test_the_failure_rate_speaks_once_it_is_surely_too_high_and_not_by_few_looks(store: Store, ask: Ask) -> None:
    wanted = settings()
    ask([f"question {number}" for number in range(60)])
    look(store, wanted, right=0, wrong=9)
    found = evidence.with_failures(Evidence(), store, "mail", "1", wanted)
    assert found.failures is not None
    assert found.failures.estimate.rate == 1
    assert evidence.speaking(found, "1") is None, "nine looks are fewer than improve.failure_rate.looks"
    look(store, wanted, right=15, wrong=6)
    found = evidence.with_failures(found, store, "mail", "1", wanted)
    assert found.failures is not None
    assert found.failures.estimate.rate == 0.5
    assert evidence.speaking(found, "1") == "failure_rate"
    assert evidence.speaking(found, "2") is None, "of version 2 nothing is known"
    told = evidence.reason(found, "failure_rate", wanted.improve)
    assert told.startswith("version 1 answers wrongly 15 of 30 times in the random sample, surely more than 2")


def test_a_rate_that_may_be_chance_does_not_speak(store: Store, ask: Ask) -> None:
    wanted = settings()
    ask([f"question {number}" for number in range(30)])
    look(store, wanted, right=21, wrong=9)
    found = evidence.with_failures(Evidence(), store, "mail", "1", wanted)
    assert found.failures is not None
    assert found.failures.estimate.rate == 0.3
    assert found.failures.surely < 0.2
    assert evidence.speaking(found, "1") is None


def test_looks_that_started_a_turn_start_no_other_and_old_answers_do_not_count(store: Store, ask: Ask) -> None:
    wanted = settings()
    ask([f"old {number}" for number in range(20)], created_at=datetime.now(UTC) - timedelta(days=20))
    look(store, wanted, right=0, wrong=20)
    found = evidence.with_failures(Evidence(), store, "mail", "1", wanted)
    assert found.failures is not None
    assert found.failures.estimate.looked_at == 0
    ask([f"question {number}" for number in range(20)])
    look(store, wanted, right=0, wrong=20)
    found = evidence.with_failures(found, store, "mail", "1", wanted)
    assert evidence.speaking(found, "1") == "failure_rate"
    found = evidence.started(found)
    assert evidence.speaking(found, "1") is None
    found = evidence.with_failures(found, store, "mail", "1", wanted)
    assert evidence.speaking(found, "1") is None
    ask([f"later {number}" for number in range(20)])
    look(store, wanted, right=0, wrong=20)
    found = evidence.with_failures(found, store, "mail", "1", wanted)
    assert evidence.speaking(found, "1") == "failure_rate", "answers given since are new evidence"


def test_drift_speaks_once_for_a_shift_and_never_for_the_same_kind(store: Store, ask: Ask) -> None:
    wanted = settings()
    strange = [f"bus {number} leaves the station at noon" for number in range(200)]

    def step(found: Evidence, texts: list[str]) -> Evidence:
        ask(texts)
        assert evidence.enough_messages(store, "mail", found, wanted.improve.drift)
        return evidence.with_window(found, store, "mail", "1", lambda: TAUGHT, wanted)

    found = step(Evidence(), TAUGHT[::2])
    assert evidence.speaking(found, "1") is None
    assert not evidence.enough_messages(store, "mail", found, wanted.improve.drift), "each message is looked at once"
    assert evidence.with_window(found, store, "mail", "1", lambda: TAUGHT, wanted) == found
    found = step(found, strange[:50])
    assert evidence.speaking(found, "1") == "drift"
    told = evidence.reason(found, "drift", wanted.improve)
    assert "50 new messages differ from what version 1 was taught by" in told
    assert "station" in told
    found = evidence.started(found)
    assert evidence.speaking(found, "1") is None
    found = step(found, strange[50:100])
    assert not found.windows[-1].news
    assert evidence.speaking(found, "1") is None, "it is the same drift still"
    found = step(found, [f"my cat number {number} has fleas again" for number in range(60)])
    assert evidence.speaking(found, "1") == "drift", "and this is another"
    assert [window.drifted for window in found.windows] == [False, True, False, True]


def test_one_message_sent_again_and_again_is_no_drift(store: Store, ask: Ask) -> None:
    wanted = settings()
    ask(["are you there?"] * 60)
    assert evidence.with_window(Evidence(), store, "mail", "1", lambda: TAUGHT, wanted) == Evidence()
    ask(random.Random(3).sample(TAUGHT, 49))
    found = evidence.with_window(Evidence(), store, "mail", "1", lambda: TAUGHT, wanted)
    assert found.windows[-1].found.messages == 50
    assert not found.windows[-1].drifted


def test_what_is_kept_is_read_again_and_a_spoilt_file_is_nothing(store: Store, ask: Ask, tmp_path: Path) -> None:
    wanted = settings()
    ask(TAUGHT[:60])
    look(store, wanted, right=2, wrong=0)
    found = evidence.with_window(Evidence(), store, "mail", "1", lambda: TAUGHT, wanted)
    found = evidence.with_failures(found, store, "mail", "1", wanted)
    evidence.write(tmp_path, "mail", found)
    assert evidence.read(tmp_path, "mail") == found
    assert evidence.read(tmp_path, "other") == Evidence()
    (tmp_path / "evidence" / "mail.json").write_text("{")
    assert evidence.read(tmp_path, "mail") == Evidence()
