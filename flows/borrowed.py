"""Programs of the stack that a command needs only for its own while.

One that runs is used; one that is started here ends with the last command that uses it. Each
user leaves a mark with its process's start time, so that a command that was killed counts no
longer and the next one stops what it left running.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import psutil

from components import files
from components.config import Places
from flows import stack


def borrow(root: Path, places: Places, name: str) -> None:
    """Use the program called `name`: as it runs, or started now to run until `give_back`.

    Raises:
        StackError: it cannot be started.
    """
    files.write_json(_marks(places, name) / f"{os.getpid()}.json", {"created": psutil.Process().create_time()})
    try:
        stack.start(root, places, [stack.one(places, name)], say=lambda _: None, stays=False)
    except BaseException:
        _unmark(places, name)
        raise


def give_back(places: Places, name: str) -> None:
    """Stop a borrowed program, unless it is meant to stay or another command still uses it."""
    _unmark(places, name)
    found = stack.running(places, name)
    if found is not None and not found.stays and not _used(places, name):
        if name == "prefect":
            _deliver()
        stack.stop(places, name)


def _deliver() -> None:
    """Have Prefect's client send what it still holds back; with its server gone it would try for over a minute."""
    if "prefect.flow_engine" in sys.modules:
        from prefect.events.worker import EventsWorker
        from prefect.logging.handlers import APILogWorker

        for worker in (APILogWorker, EventsWorker):
            worker.drain_all(timeout=10)


def keep(places: Places, name: str) -> None:
    """Let a program that was started to be borrowed run on: `saqia up` asked for it."""
    found = stack.running(places, name)
    if found is not None and not found.stays:
        files.write_json(stack.pid_file(places, name), replace(found, stays=True).__dict__)


def let_go(places: Places, name: str) -> bool:
    """For `saqia down`: leave a program that a command is using now to that command, which stops it at its end.

    Returns:
        Whether it is left so; False where nobody uses it (or it does not run) and it may be stopped.
    """
    found = stack.running(places, name)
    if found is None or not _used(places, name):
        return False
    files.write_json(stack.pid_file(places, name), replace(found, stays=False).__dict__)
    return True


def _marks(places: Places, name: str) -> Path:
    return places.home / "run" / f"{name}.users"


def _unmark(places: Places, name: str) -> None:
    (_marks(places, name) / f"{os.getpid()}.json").unlink(missing_ok=True)


def _used(places: Places, name: str) -> bool:
    """Whether a living command has marked that it uses the program; marks of dead ones are removed."""
    used = False
    for mark in _marks(places, name).glob("*.json"):
        try:
            created = float(json.loads(mark.read_text(encoding="utf-8"))["created"])
        except (OSError, ValueError, KeyError):
            created = 0.0
        if stack.is_process(int(mark.stem), created):
            used = True
        else:
            mark.unlink(missing_ok=True)
    return used
