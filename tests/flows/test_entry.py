"""How flow runs begin and end: who waits for whom, and what a run says that did not get through."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas import State
from prefect.settings import PREFECT_API_URL, temporary_settings

from components import config
from components.feedback.store import Store
from components.schema import Feedback, Interaction, Message
from flows import progress, workspace
from flows.entry import refusal
from flows.improve import improve
from flows.results import Result
from tests.flows.test_pipeline import run

TASK = "name: intake\ntitle: Intake\nanswer: text\n"


@pytest.fixture(autouse=True)
def prefect_api(prefect_server: int) -> Iterator[None]:
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{prefect_server}/api"}):
        yield


@pytest.fixture
def installed(project: Path, places: config.Places, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project with a task, as the current folder, with its state beside it."""
    (project / "tasks" / "intake").mkdir(parents=True)
    (project / "tasks" / "intake" / "task.yaml").write_text(TASK)
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("when_busy: wait", "when_busy: cancel"))
    monkeypatch.chdir(project)
    for name, value in places.as_env().items():
        monkeypatch.setenv(name, value)
    return project


def correct(store: Store, number: int) -> None:
    now = datetime(2026, 5, 1, tzinfo=UTC)
    asked = (Message(role="user", content=f"message {number}"),)
    store.add_interaction(
        Interaction(
            id=f"c{number}",
            created_at=now,
            task="intake",
            model_version="1",
            messages=asked,
            answer="wrong",
            latency_ms=1,
            finish_reason="stop",
            prompt_tokens=1,
            completion_tokens=1,
        )
    )
    store.add_feedback(
        Feedback(
            id=f"f{number}",
            interaction_id=f"c{number}",
            created_at=now,
            kind="correction",
            rater="ann",
            correction="right",
        )
    )


@contextmanager
def held(home: Path, who: str) -> Iterator[None]:
    """The lock as another process would hold it: flock knows open files, not processes."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "turn.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(f"{who} (process 1)")
        lock.flush()
        yield


def turn_the_wheel() -> State[Any]:
    state: State[Any] = improve(return_state=True)
    return state


def test_a_run_for_feedback_that_a_running_turn_holds_ends_at_once_saying_so(
    installed: Path, places: config.Places
) -> None:
    with Store(places.database_url) as store, held(places.home, "turn of intake"):
        correct(store, 1)
        store.open_turn("intake")
        state = turn_the_wheel()
        assert (state.name, state.message) == (
            "Nothing to do",
            "turn 1 of intake is running and holds all its feedback: nothing done",
        )
        correct(store, 2)
        assert turn_the_wheel().is_cancelled(), "there is something new, so it waits or is cancelled, as configured"


def test_a_run_for_which_no_task_was_named_is_called_after_the_default_one(
    installed: Path, places: config.Places
) -> None:
    with held(places.home, "turn of another"):
        named = [improve(task=task, return_state=True) for task in (None, "other")]
    with get_client(sync_client=True) as client:
        runs = [client.read_flow_run(state.state_details.flow_run_id).name for state in named]
    assert runs == ["improve intake: started by hand", "improve other: started by hand"]


def test_another_tasks_turn_is_waited_for(installed: Path, places: config.Places) -> None:
    with Store(places.database_url) as store, held(places.home, "turn of another"):
        correct(store, 1)
        store.open_turn("intake")
        assert turn_the_wheel().is_cancelled()


def test_a_run_that_waits_says_for_whom_on_the_terminal(installed: Path, places: config.Places) -> None:
    params = installed / "params.yaml"
    params.write_text(params.read_text().replace("when_busy: cancel", "when_busy: wait"))

    class Terminal:
        said: ClassVar[list[str]] = []

        def line(self, stage: str, text: str) -> None:
            self.said.append(f"{stage}: {text}")
            other.close()

        def note(self, text: str) -> None:
            pass

        def finished(self, result: Result) -> None:
            pass

    with ExitStack() as other, progress.listening(Terminal()):
        other.enter_context(held(places.home, "build of another"))
        assert "no champion to improve" in str(turn_the_wheel().message), "it began once the other had ended"
    assert Terminal.said[0].startswith("turn: build of another (process 1) is running; waiting for it to end")


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("params", "params.yaml: train.lr = 5"),
        ("task", "no task 'intake'"),
        ("store", "file is not a database"),
        ("registry", "mlflow.db cannot be used (file is not a database)"),
    ],
)
def test_what_is_broken_before_a_turn_is_one_line_of_its_state(
    fault: str, says: str, installed: Path, places: config.Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    match fault:
        case "params":
            file = installed / "params.yaml"
            file.write_text(file.read_text().replace("  lr: null", "  lr: 5", 1))
        case "task":
            shutil.rmtree(installed / "tasks" / "intake")
        case "store":
            places.home.mkdir(parents=True)
            (places.home / "saqia.db").write_bytes(b"no database" * 500)
        case _:
            file = places.home.parent / "mlflow.db"
            file.write_bytes(b"no database" * 500)
            monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{file}")
    state = turn_the_wheel()
    assert state.is_failed()
    assert says in (state.message or "")
    assert "\n" not in (state.message or "")


def test_what_is_edited_or_removed_while_a_turn_runs_changes_nothing_in_it(
    project: Path, places: config.Places
) -> None:
    made = workspace.prepare(project, "one", "intake", places=places)
    (project / "params.yaml").write_text("seed: [broken\n")
    (project / "second.py").unlink()
    shutil.rmtree(project / ".git" / "hooks", ignore_errors=True)
    _, results = run(made)
    assert {r.outcome for r in results.values()} == {"ran"}
    assert (made.root / "data" / "first" / "value").read_text() == "17"


def test_a_run_that_did_not_get_through_says_what_was_finished_and_what_was_not_begun(
    project: Path, places: config.Places
) -> None:
    (project / "second.py").write_text("import sys; sys.exit('second: row 7 is wrong')")
    made = workspace.prepare(project, "one", "intake", places=places)
    _, results = run(made)
    said = refusal(list(results.values()), made)
    assert said.startswith("second: row 7 is wrong; finished, since they do not need it: ")
    assert {"first", "aside"} == set(said.partition("need it: ")[2].partition(";")[0].split(", "))
    assert f"; not begun: last (the turn's folder is kept: {made.root})" in said
