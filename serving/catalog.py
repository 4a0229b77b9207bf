"""The registry's versions as the pages show them: read every few seconds at most, the last known where it is away."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from components.models import first_line
from components.registry import Version

LEAST_SECONDS = 2.0
"""However many people look, the registry is not asked more often than this."""


class Catalog:
    """Every version of one task, oldest first."""

    def __init__(self, read: Callable[[], list[Version]], fresh_seconds: float) -> None:
        self._read = read
        self._fresh = max(fresh_seconds, LEAST_SECONDS)
        self._lock = threading.Lock()
        self._versions: list[Version] = []
        self._at = -math.inf
        self.problem: str | None = None
        """Why the registry could not be read at the last look."""

    def versions(self) -> list[Version]:
        """What is registered; may read the database, so not from the event loop."""
        with self._lock:
            if time.monotonic() - self._at > self._fresh:
                try:
                    self._versions, self.problem = self._read(), None
                except Exception as error:  # MLflow's, the database's, the file system's: the page goes on
                    self.problem = first_line(error)
                self._at = time.monotonic()
            return self._versions
