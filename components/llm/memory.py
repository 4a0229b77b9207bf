"""What a model has answered already, kept as it comes: no request is paid for twice, whenever the work was stopped."""

from __future__ import annotations

import fcntl
import os
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Self

from pydantic import ValidationError

from components.llm.client import Choice
from components.schema import Record
from components.stage import StageError


class Answered(Record):
    """One line of the file."""

    key: str
    """Of the whole request: server, model, messages and parameters."""
    created_at: datetime
    text: str
    finish: str | None = None
    refusal: str | None = None


class Memory:
    """Answers by their request's key, in a file that only grows; one process at a time has it, any of its threads."""

    def __init__(self, path: Path) -> None:
        """Raises: StageError: another process has it, or a line is no answer."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise StageError(f"{path} is in use: the same command runs already; wait for it, or stop it") from None
        self._lock = Lock()
        self._answers = self._read(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._answers)

    def of(self, key: str) -> Answered | None:
        """What this request was answered, if it was."""
        return self._answers.get(key)

    def keep(self, key: str, choice: Choice) -> Answered:
        """Remember an answer; it is on the disk when this returns."""
        answered = Answered(
            key=key, created_at=datetime.now(UTC), text=choice.text, finish=choice.finish, refusal=choice.refusal
        )
        with self._lock:
            self._answers[key] = answered
            self._file.write(answered.model_dump_json().encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        return answered

    def _read(self, path: Path) -> dict[str, Answered]:
        self._file.seek(0)
        content = self._file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):  # a kill or a full disk tore the last line: that answer was never used
            self._file.truncate(whole)
        answers = {}
        for number, line in enumerate(content[:whole].splitlines(), 1):
            try:
                answered = Answered.model_validate_json(line)
            except ValidationError as error:
                said = error.errors()[0]["msg"]
                raise StageError(f"{path}, line {number} is no kept answer ({said}): delete that line") from None
            answers[answered.key] = answered
        return answers
