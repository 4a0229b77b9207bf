"""The local stack: ports, pid files and half-started programs, with real processes."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

import psutil
import pytest

from components.config import Places
from flows import stack
from flows.stack import Program, StackError
from tests.flows.conftest import free_port

WEB = "import http.server as h, sys; h.test(h.SimpleHTTPRequestHandler, port=int(sys.argv[1]), bind='127.0.0.1')"


@pytest.fixture
def here(tmp_path: Path) -> Places:
    return Places(home=tmp_path / "home").absolute(tmp_path)


def web(name: str, port: int) -> Program:
    return Program(name, name.title(), (sys.executable, "-c", WEB, str(port)), port=port, health="/", option="--port")


def test_a_program_is_started_once_and_stopped(here: Places, tmp_path: Path) -> None:
    program = web("one", free_port())
    assert stack.start(tmp_path, here, [program]) == [program]
    found = stack.running(here, "one")
    assert found is not None
    assert found.port == program.port
    assert stack.start(tmp_path, here, [program]) == []
    assert stack.stop(here, "one")
    assert stack.running(here, "one") is None
    assert not stack.listening(program.port or 0)
    assert not stack.stop(here, "one")


def test_a_taken_port_names_its_owner_and_the_way_out(here: Places, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(
            StackError, match=rf"port {port} is taken by process {os.getpid()} .*choose another with --port"
        ):
            stack.start(tmp_path, here, [web("one", port)])
    assert not (here.home / "run" / "one.json").exists()


def test_a_stale_pid_file_is_no_obstacle_and_its_pid_is_not_killed(here: Places, tmp_path: Path) -> None:
    innocent = os.getpid()
    file = here.home / "run" / "one.json"
    file.parent.mkdir(parents=True)
    record = {"name": "one", "pid": innocent, "created": psutil.Process(innocent).create_time() - 500, "port": 1}
    file.write_text(json.dumps(record))
    assert stack.running(here, "one") is None
    assert not stack.stop(here, "one")
    program = web("one", free_port())
    file.write_text(json.dumps(record))
    stack.start(tmp_path, here, [program])
    assert stack.stop(here, "one")


def test_a_damaged_pid_file_is_treated_as_none(here: Places) -> None:
    file = here.home / "run" / "one.json"
    file.parent.mkdir(parents=True)
    file.write_text("{half")
    assert stack.running(here, "one") is None


def test_when_one_program_dies_at_once_those_started_with_it_are_stopped(here: Places, tmp_path: Path) -> None:
    good = web("good", free_port())
    bad = Program(
        "bad", "Bad", (sys.executable, "-c", "import sys; sys.exit('bad: no disk')"), port=free_port(), health="/"
    )
    with pytest.raises(StackError, match="Bad ended at once: bad: no disk"):
        stack.start(tmp_path, here, [good, bad])
    assert stack.running(here, "good") is None
    assert not stack.listening(good.port or 0)


def test_ports_of_running_programs_are_found_again(here: Places, tmp_path: Path) -> None:
    port = free_port()
    stack.start(tmp_path, here, [web("prefect", port)])
    try:
        assert stack.where_it_runs(here).prefect_port == port
    finally:
        stack.stop(here, "prefect")


def test_a_free_port_is_chosen_where_the_preferred_one_is_taken() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert stack.free_port(port) != port
    assert stack.free_port(port) == port


def test_a_program_that_a_full_disk_ended_says_so(here: Places, tmp_path: Path) -> None:
    code = "import sys; sys.exit('sqlite3.OperationalError: database or disk is full\\n  File cut sho')"
    with pytest.raises(StackError, match=r"One ended at once: the disk is full: free some space and run it again"):
        stack.start(tmp_path, here, [Program("one", "One", (sys.executable, "-c", code), port=free_port(), health="/")])
