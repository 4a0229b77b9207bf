"""Answers that were paid for are there again after a kill, whole, and for one process at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.llm.client import Choice
from components.llm.memory import Memory
from components.stage import StageError


def test_what_was_answered_is_known_to_the_next_process_and_a_torn_line_is_forgotten(tmp_path: Path) -> None:
    file = tmp_path / "there/answers.jsonl"
    with Memory(file) as memory:
        kept = memory.keep("one", Choice("1", "stop"))
        memory.keep("two", Choice("", None, refusal="no"))
    file.write_bytes(file.read_bytes() + b'{"key": "three", "text": "ha')
    with Memory(file) as memory:
        assert memory.of("one") == kept
        assert (memory.of("two") or kept).refusal == "no"
        assert memory.of("three") is None
        memory.keep("four", Choice("4", "length"))
    with Memory(file) as memory:
        assert [key for key in ("one", "two", "three", "four") if memory.of(key)] == ["one", "two", "four"]


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    with Memory(file) as memory:
        memory.keep("one", Choice("1", "stop"))
    file.write_bytes(file.read_bytes() + b"oops\n")
    with pytest.raises(
        StageError, match=r"answers\.jsonl, line 2 is no kept answer \(Invalid JSON.*\): delete that line"
    ):
        Memory(file)


def test_a_second_process_is_told_to_wait(tmp_path: Path) -> None:
    with Memory(tmp_path / "answers.jsonl"), pytest.raises(StageError, match="the same command runs already"):
        Memory(tmp_path / "answers.jsonl")
