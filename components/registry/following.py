"""A task's aliases for a process that looks at them again and again, and must not spend its time on that.

Asking MLflow for one alias takes 20 to 50 ms of Python, in which a service's other threads wait.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from pathlib import Path

from components.registry.catalog import Alias, aliased
from components.registry.record import Version
from components.registry.store import tracking_uri


class Following:
    """What the aliases of a task point to, read anew only where something may have been written since."""

    def __init__(self, task: str) -> None:
        self._task = task
        self._marks = Marks(tracking_uri())
        self._read: dict[Alias, tuple[object, Version | None]] = {}
        """Alias → the mark before it was read, and what it meant."""

    def __call__(self, alias: Alias) -> Version | None:
        """The version that has this alias now, or None.

        Raises:
            RegistryError: the registry cannot be read.
        """
        mark = self._marks.now()
        known = self._read.get(alias)
        if known is not None and mark is not None and known[0] == mark:
            return known[1]
        found = aliased(self._task, alias)
        self._read[alias] = mark, found
        return found


class Marks:
    """Tells whether anybody wrote to a SQLite store.

    By SQLite's own account (`PRAGMA data_version`, https://sqlite.org/pragma.html): what it says to one
    connection changes with every commit of another.
    """

    def __init__(self, uri: str) -> None:
        self._file = Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None
        self._lock = threading.Lock()
        self._opened: sqlite3.Connection | None = None
        self._place: tuple[int, int] | None = None
        """Device and inode of the file that is open: a store restored from a copy is another file."""
        self._openings = 0

    def now(self) -> object | None:
        """Equal to an earlier mark where nothing was written between the two; None where nobody can tell."""
        if self._file is None:
            return None
        with self._lock:
            try:
                seen = os.stat(self._file)
                place = (seen.st_dev, seen.st_ino)
                if self._opened is None or place != self._place:
                    self._close()
                    address = f"{self._file.resolve().as_uri()}?mode=ro"
                    self._opened = sqlite3.connect(address, uri=True, timeout=0, check_same_thread=False)
                    self._place = place
                    self._openings += 1
                return (self._openings, self._opened.execute("PRAGMA data_version").fetchone()[0])
            except (OSError, sqlite3.Error):
                self._close()
                return None

    def _close(self) -> None:
        if self._opened is not None:
            with contextlib.suppress(sqlite3.Error):
                self._opened.close()
        self._opened = self._place = None
