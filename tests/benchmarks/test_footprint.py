"""What a command holds in memory, and when."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from benchmarks import footprint

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")

FORKS = """
import os, sys, time
from pathlib import Path
from benchmarks.footprint import mark
marks = Path(sys.argv[1])
time.sleep(0.3)
mark("empty", marks)
shared = bytearray(os.urandom(1 << 20)) * 60
if os.fork() == 0:
    own = bytearray(os.urandom(1 << 20)) * 40
    time.sleep(0.6)
    os._exit(0)
os.wait()
mark("full", marks)
"""
"""Holds 60 MiB, and a fork of it 40 more."""


def test_what_forked_processes_share_counts_once_and_what_each_has_counts_too(tmp_path: Path) -> None:
    marks = tmp_path / "marks.jsonl"
    seen = footprint.watch([sys.executable, "-c", FORKS, str(marks)], marks, footprint.project_environment(threads=1))
    assert seen.peak("empty", "full") - seen.at("empty") == pytest.approx(100, abs=6)
    assert seen.seconds("empty", "full") > 0.5
    assert 0 < seen.processor("empty", "full") < 5


def test_a_command_that_fails_is_said_with_what_it_printed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such thing')"]
    with pytest.raises(footprint.Failed, match="ended with 1:\nno such thing"):
        footprint.watch(command, tmp_path / "marks.jsonl", os.environ)
