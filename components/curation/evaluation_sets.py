"""Which of a task's example files are evaluation sets, so that nobody teaches a row of one."""

from __future__ import annotations

from pathlib import Path

NOT_EVALUATION = ("train", "traffic", "skipped")
"""What is taught, messages that come in later, and rows that were not understood."""


def evaluation_files(folder: Path) -> list[Path]:
    """Every example file but those, in order of name."""
    return [path for path in sorted(folder.glob("*.jsonl")) if path.stem not in NOT_EVALUATION]
