"""Programs that a command starts for its own while end with the last command that uses them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from components.config import Places
from flows import borrowed, stack
from flows.stack import Program
from tests.flows.conftest import free_port
from tests.flows.test_stack import WEB


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """Places whose only program is a small web server of its own."""
    port = free_port()
    program = Program("prefect", "Web", (sys.executable, "-c", WEB, str(port)), port=port, health="/", option="--port")
    monkeypatch.setattr(stack, "programs", lambda places: [program])
    return Places(home=tmp_path / "home").absolute(tmp_path)


def mark(places: Places, pid: int, created: float) -> None:
    file = places.home / "run" / "prefect.users" / f"{pid}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"created": created}))


def test_what_was_started_to_be_borrowed_ends_when_it_is_given_back(here: Places, tmp_path: Path) -> None:
    borrowed.borrow(tmp_path, here, "prefect")
    assert stack.running(here, "prefect") is not None
    borrowed.give_back(here, "prefect")
    assert stack.running(here, "prefect") is None


def test_what_another_command_still_uses_runs_on_until_that_one_is_gone(here: Places, tmp_path: Path) -> None:
    import psutil

    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        borrowed.borrow(tmp_path, here, "prefect")
        mark(here, other.pid, psutil.Process(other.pid).create_time())
        borrowed.give_back(here, "prefect")
        assert stack.running(here, "prefect") is not None
    finally:
        other.kill()
        other.wait()
    borrowed.borrow(tmp_path, here, "prefect")
    borrowed.give_back(here, "prefect")
    assert stack.running(here, "prefect") is None


def test_the_stacks_end_leaves_a_program_to_the_command_that_is_using_it(here: Places, tmp_path: Path) -> None:
    stack.start(tmp_path, here, stack.programs(here))
    assert not borrowed.let_go(here, "prefect"), "nobody uses it: it may be stopped"
    borrowed.borrow(tmp_path, here, "prefect")
    assert borrowed.let_go(here, "prefect")
    assert stack.running(here, "prefect") is not None
    borrowed.give_back(here, "prefect")
    assert stack.running(here, "prefect") is None, "the command that used it last stops it"


def test_a_recycled_number_in_a_killed_commands_mark_counts_for_nobody(here: Places, tmp_path: Path) -> None:
    mark(here, os.getppid(), 1.0)
    borrowed.borrow(tmp_path, here, "prefect")
    borrowed.give_back(here, "prefect")
    assert stack.running(here, "prefect") is None


def test_what_the_stack_started_or_kept_is_never_stopped_by_a_borrower(here: Places, tmp_path: Path) -> None:
    borrowed.borrow(tmp_path, here, "prefect")
    borrowed.keep(here, "prefect")
    borrowed.give_back(here, "prefect")
    assert stack.running(here, "prefect") is not None
    assert stack.stop(here, "prefect")
