"""A task's own params.yaml counts wherever its settings are asked for, and one task's mistake is its own."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from components import config, task
from components.feedback.store import Store
from components.schema import Feedback, Interaction, Message
from flows import overview, worker

TASK = "name: {name}\ntitle: A task\nanswer: text\n"


@pytest.fixture
def tasks(project: Path) -> Path:
    """Three tasks: one with its own limit, one without, and one whose parameters are impossible."""
    for name, params in (("early", "improve: {corrections: 12}\n"), ("plain", ""), ("broken", "improve: {cron: no}\n")):
        folder = project / "tasks" / name
        folder.mkdir(parents=True)
        (folder / "task.yaml").write_text(TASK.format(name=name))
        if params:
            (folder / "params.yaml").write_text(params)
    return project


def correct(store: Store, name: str, count: int) -> None:
    now = datetime(2026, 5, 1, tzinfo=UTC)
    for number in range(count):
        store.add_interaction(
            Interaction(
                id=f"{name}-{number}",
                created_at=now,
                task=name,
                model_version="1",
                messages=(Message(role="user", content=f"message {number}"),),
                answer="wrong",
                finish_reason="stop",
                prompt_tokens=1,
                completion_tokens=1,
                latency_ms=1,
            )
        )
        store.add_feedback(
            Feedback(
                id=f"f-{name}-{number}",
                interaction_id=f"{name}-{number}",
                created_at=now,
                kind="correction",
                correction="right",
                rater="ana",
            )
        )


def test_the_worker_starts_a_turn_at_the_tasks_own_limit(
    tasks: Path, places: config.Places, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stop, announced = threading.Event(), list[tuple[str, str]]()

    def announce(name: str, waiting: int, reason: str) -> None:
        announced.append((name, reason))
        stop.set()

    monkeypatch.setattr("flows.deployments.announce", announce)
    monkeypatch.setattr(worker, "LOOK_SECONDS", 0.01)
    with Store(places.database_url) as store:
        correct(store, "early", 12)
        correct(store, "plain", 12)
    with caplog.at_level(logging.WARNING, "saqia.worker"):
        watching = threading.Thread(target=worker.watch, args=(places, tasks, stop))
        watching.start()
        watching.join(60)
        stop.set()
    assert announced == [("early", "12 corrections wait (improve.corrections: 12)")]
    assert any(message.startswith("broken: ") and "improve.cron" in message for message in caplog.messages)


def test_each_task_has_its_own_schedule_and_a_broken_one_has_none(tasks: Path) -> None:
    (tasks / "tasks" / "plain" / "params.yaml").write_text("improve: {cron: '0 4 * * *'}\n")
    settings = worker.settings_of_all(tasks)
    assert {name: found.improve.cron for name, found in settings.items()} == {
        "early": "0 2 * * *",
        "plain": "0 4 * * *",
    }


def test_status_names_the_tasks_own_limit(
    tasks: Path, places: config.Places, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tasks)
    for name, value in places.as_env().items():
        monkeypatch.setenv(name, value)
    overview.show(tasks, places, "early")
    assert "a turn starts at 12 corrections" in capsys.readouterr().out
    overview.show(tasks, places, "plain")
    assert "a turn starts at 120 corrections" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task: other\n", "params.yaml: task cannot be set by a task"),
        ("turn: {snapshots: []}\n", "params.yaml: turn cannot be set by a task"),
        ("improve: {correction: 12}\n", "improve.correction is not a known key; known here: "),
        ("- improve\n", "must be a mapping"),
    ],
)
def test_what_a_task_cannot_set_is_refused_by_its_name(tasks: Path, text: str, message: str) -> None:
    (tasks / "tasks" / "plain" / "params.yaml").write_text(text)
    with pytest.raises(config.ConfigError) as error:
        task.settings("plain", tasks)
    assert message in str(error.value)
