"""A turn that a person asks for on a page: written where the worker looks, taken by it exactly once.

The service knows no Prefect, and the worker serves no page; what they share is this installation's home. A
request is one file a task, so asking twice is asking once; taking it renames the file, so of several
workers one gets it.
"""

from __future__ import annotations

import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from components import files
from components.schema import Record
from components.stage import StageError


class Asked(Record):
    """One request for a turn."""

    task: str
    by: str
    """Who pressed the button."""
    at: datetime
    state: Literal["waiting", "taken"] = "waiting"
    """taken: the worker has told Prefect, which starts the run."""
    taken_at: datetime | None = None

    @property
    def reason(self) -> str:
        """As the run shows it."""
        return f"a person's button ({self.by})"


def ask(home: Path, task: str, by: str) -> Asked:
    """Ask for a turn; where one is asked for already, that request is returned and nothing changes.

    Raises:
        StageError: the request cannot be written.
    """
    wanted = Asked(task=task, by=by, at=datetime.now(UTC))
    place = _waiting(home, task)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = place.with_suffix(f".{secrets.token_hex(4)}")
        files.write_text(draft, wanted.model_dump_json() + "\n")
        try:
            os.link(draft, place)  # fails where the file is there, however many ask at once
        except FileExistsError:
            return _read(place) or wanted
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise StageError(f"{place} cannot be written: {error.strerror}") from None
    return wanted


def waiting(home: Path, task: str) -> Asked | None:
    """The request that no worker has taken yet."""
    return _read(_waiting(home, task))


def latest(home: Path, task: str) -> Asked | None:
    """The request that waits, else the one that was taken last."""
    return waiting(home, task) or _read(_taken(home, task))


def take(home: Path, task: str) -> Asked | None:
    """The request, for the worker that calls this first; None where nothing is asked for."""
    mine = _taken(home, task).with_suffix(f".{secrets.token_hex(4)}")
    try:
        os.rename(_waiting(home, task), mine)
    except OSError:
        return None
    try:
        asked = _read(mine)
        if asked is None:
            return None
        asked = asked.model_copy(update={"state": "taken", "taken_at": datetime.now(UTC)})
        files.write_text(_taken(home, task), asked.model_dump_json() + "\n")
        return asked
    finally:
        mine.unlink(missing_ok=True)


def _read(file: Path) -> Asked | None:
    """None where there is no such file, or somebody has spoilt it."""
    try:
        return Asked.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _waiting(home: Path, task: str) -> Path:
    return home / "asked" / f"{task}.json"


def _taken(home: Path, task: str) -> Path:
    return home / "asked" / f"{task}.taken.json"
