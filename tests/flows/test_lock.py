"""One turn at a time, whoever starts it, and however its holder ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flows.lock import Busy, one_turn

HOLDER = """
import sys, time
from pathlib import Path
from flows.lock import one_turn
with one_turn(Path(sys.argv[1]), "turn of intake", "cancel"):
    print("held", flush=True)
    time.sleep(600)
"""


def hold(home: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(home)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_turn_is_cancelled_naming_the_first(tmp_path: Path) -> None:
    holder = hold(tmp_path)
    try:
        with (
            pytest.raises(Busy, match=rf"turn of intake \(process {holder.pid}\) is running"),
            one_turn(tmp_path, "other", "cancel"),
        ):
            pytest.fail("two turns at once")
    finally:
        holder.kill()
        holder.wait()


def test_a_second_turn_waits_and_the_lock_of_a_killed_one_is_free(tmp_path: Path) -> None:
    holder = hold(tmp_path)
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        os.kill(holder.pid, signal.SIGKILL)

    with one_turn(tmp_path, "other", "wait", say):
        assert len(said) == 1
        assert "waiting" in said[0]
    holder.wait()
    with one_turn(tmp_path, "third", "cancel"):
        assert "third" in (tmp_path / "turn.lock").read_text()
