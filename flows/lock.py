"""One turn at a time: a file lock that the kernel gives back however its holder ends."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from components.stage import StageError


class Busy(StageError):
    """Another turn is running and `improve.when_busy` is `cancel`."""


class Needless(StageError):
    """Another turn is running, and when it has ended there will be nothing left to do."""


@contextmanager
def one_turn(
    home: Path,
    who: str,
    when_busy: Literal["wait", "cancel"],
    say: Callable[[str], None] = print,
    meanwhile: Callable[[str], None] = lambda _: None,
) -> Iterator[None]:
    """Hold this installation's turn lock; wait for it or give up, as configured.

    `meanwhile` is called with the holder's name when another process is found to hold it, and every ten seconds.

    Raises:
        Busy: another process holds it and `when_busy` is `cancel`; the holder is named.
        Needless: `meanwhile` says so.
    """
    with hold(home / "turn.lock", who, when_busy, say, f" (improve.when_busy: {when_busy})", meanwhile):
        yield


@contextmanager
def hold(
    path: Path,
    who: str,
    when_busy: Literal["wait", "cancel"],
    say: Callable[[str], None] = print,
    why: str = "",
    meanwhile: Callable[[str], None] = lambda _: None,
) -> Iterator[None]:
    """Hold a lock file and name ourselves in it.

    Raises:
        Busy: as `one_turn`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as lock:
        told, looks = False, 0
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                lock.seek(0)
                holder = lock.read().strip() or "another one"
                if looks % 20 == 0:
                    meanwhile(holder)
                looks += 1
                if when_busy == "cancel":
                    raise Busy(f"{holder} is running; this one is cancelled{why}") from None
                if not told:
                    say(f"{holder} is running; waiting for it to end{why}")
                    told = True
                time.sleep(0.5)
        try:
            lock.truncate(0)
            lock.write(f"{who} (process {os.getpid()})")
            lock.flush()
            yield
        finally:
            lock.truncate(0)
            lock.flush()
            fcntl.flock(lock, fcntl.LOCK_UN)
