"""What an interrupted command left of the stack is found by its own mark, named, and ended; nothing else is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from components.config import Places
from flows import leftovers, stack
from flows.commands.stack import down
from flows.stack import Program
from tests.flows.conftest import free_port
from tests.flows.test_stack import WEB
from tests.waiting import until

PARENT = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1], sys.argv[2]]).wait()"
"""A server whose work is done by a process of its own, as Prefect's and MLflow's is."""


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Program:
    port = free_port()
    made = Program("web", "Web", (sys.executable, "-c", PARENT, WEB, str(port)), port=port, health="/", option="--port")
    monkeypatch.setattr(stack, "programs", lambda places: [made])
    return made


@pytest.fixture
def here(tmp_path: Path, program: Program) -> Iterator[Places]:
    places = Places(home=tmp_path / "home").absolute(tmp_path)
    yield places
    stack.stop(places, program.name)
    stack.end_left_behind(places)


def orphaned(here: Places, root: Path, program: Program) -> int:
    """Start the program and kill the process that the pid file names; its child goes on listening."""
    stack.start(root, here, [program], say=lambda _: None)
    found = stack.running(here, program.name)
    assert found is not None
    (child,) = psutil.Process(found.pid).children()
    os.kill(found.pid, signal.SIGKILL)
    until(lambda: stack.running(here, program.name) is None, "the leader is gone")
    assert stack.listening(program.port or 0)
    return child.pid


def test_a_running_programs_own_processes_are_no_leftovers(here: Places, tmp_path: Path, program: Program) -> None:
    stack.start(tmp_path, here, [program], say=lambda _: None)
    assert stack.left_behind(here, program) == []
    assert stack.strangers(here) == []


def test_a_server_without_its_leader_is_found_with_its_port_and_ended(
    here: Places, tmp_path: Path, program: Program
) -> None:
    pid = orphaned(here, tmp_path, program)
    assert [str(found) for found in stack.left_behind(here, program)] == [
        f"process {pid}, listening on port {program.port}"
    ]
    assert stack.strangers(here) == []
    assert stack.end_left_behind(here) == [
        f"Web of an interrupted command ended: process {pid}, listening on port {program.port}"
    ]
    assert not stack.listening(program.port or 0)


def test_what_was_started_and_never_noted_is_found(here: Places, tmp_path: Path, program: Program) -> None:
    stack.start(tmp_path, here, [program], say=lambda _: None)
    stack.pid_file(here, program.name).unlink()
    assert len(stack.left_behind(here, program)) == 2
    stack.end_left_behind(here)
    assert not stack.listening(program.port or 0)


def test_the_next_start_takes_its_place(here: Places, tmp_path: Path, program: Program) -> None:
    pid = orphaned(here, tmp_path, program)
    lines: list[str] = []
    stack.start(tmp_path, here, [program], say=lines.append)
    assert lines[0] == f"Web of an interrupted command ended: process {pid}, listening on port {program.port}"
    assert stack.running(here, program.name) is not None
    assert stack.left_behind(here, program) == []


@pytest.mark.parametrize("mine", ["another home", "no mark", "another program"])
def test_what_is_not_ours_is_named_and_left_alone(
    here: Places, program: Program, mine: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    env = {**os.environ, "SAQIA_HOME": str(here.home), leftovers.MARK: "web"}
    if mine == "another home":
        env["SAQIA_HOME"] = "/elsewhere"
    elif mine == "no mark":
        del env[leftovers.MARK]
    else:
        env[leftovers.MARK] = "other"
    process = subprocess.Popen([sys.executable, "-c", WEB, str(program.port)], env=env)
    try:
        until(lambda: stack.listening(program.port or 0), "the stranger listens")
        monkeypatch.setattr("flows.commands.stack.enter", lambda: (here.home, here))
        down()
        assert process.poll() is None
        out = capsys.readouterr().out
        assert "nothing was running" in out
        assert f"port {program.port} of the Web is held by process {process.pid}" in out
        assert "not ours: left alone" in out
    finally:
        process.kill()
        process.wait()


def test_down_ends_what_is_left_and_says_so(
    here: Places, tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pid = orphaned(here, tmp_path, program)
    monkeypatch.setattr("flows.commands.stack.enter", lambda: (tmp_path, here))
    down()
    out = capsys.readouterr().out
    assert f"Web of an interrupted command ended: process {pid}" in out
    assert "nothing was running" not in out
    assert not stack.listening(program.port or 0)


@pytest.mark.parametrize(
    ("name", "command", "ours"),
    [
        ("prefect", "python -m prefect server start --port 4200", True),
        ("prefect", "python -m uvicorn --factory prefect.server.api.server:create_app --port 4200", True),
        ("prefect", "python -m prefect.engine", False),
        ("worker", "python -m flows.worker", True),
        ("worker", "python -m prefect.flow_engine", False),
        ("worker", "python -m prefect flow-run execute", False),
        ("mlflow", "python -m uvicorn mlflow.server.fastapi_app:app", True),
        ("service", "python -m serving --port 3000", True),
    ],
)
def test_a_program_is_known_by_its_command_and_its_flow_runs_are_not_it(name: str, command: str, ours: bool) -> None:
    assert any(leftovers._holds(command.split(), words) for words in leftovers.COMMANDS[name]) is ours
