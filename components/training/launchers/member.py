"""Being one of several processes that a launcher has started for one training."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from components.files import write_text
from components.lifetime import end_with_parent
from components.stage import EXPECTED, StageError

NOTE = "SAQIA_TRAINING_REFUSED"
"""Environment variable: the file for the reason why a training cannot be done. Launchers know only processes that
died, and start them again; those find the reason there and end at once, and the launcher tells it."""


def launched() -> bool:
    """Whether this process is one of several; torchrun, accelerate and Ray Train put that into its environment."""
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def take_part(work: Callable[[], None], tied: bool = True) -> None:
    """Do the work together with the other processes; only the first does what comes after the loop.

    Args:
        tied: end with the process that started this one.

    Raises:
        StageError, Lost: the work cannot be done, or another process is gone.
    """
    note = os.environ.get(NOTE)
    if note and Path(note).exists():
        return
    if tied:
        end_with_parent()
    from components.optimization import launched, replicas

    try:
        with launched.process_group() as group, replicas.joined(group):
            work()
    except replicas.Done:
        pass
    except EXPECTED as error:
        if note:
            write_text(Path(note), str(error))
        raise


def raise_refusal(note: Path) -> None:
    """Tell what a process wrote down, if one did.

    Raises:
        StageError: that.
    """
    if note.exists():
        raise StageError(note.read_text(encoding="utf-8"))


def how_many(processes: int | None, gpus: int, threads: int) -> int:
    """`train.processes`, or one for each GPU, or without one for each of `threads`."""
    return processes or gpus or threads
