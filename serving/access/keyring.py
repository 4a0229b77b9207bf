"""The live keys, read again every few seconds, so that no request waits for the database."""

from __future__ import annotations

import math
import threading
import time

from components.feedback import keys
from components.feedback.keys import ApiKey
from components.feedback.store import Store

FRESH_SECONDS = 2.0
"""A revoked key is worthless after so long at the latest, and a new one works."""


class KeyRing:
    """Looks keys up by their hash."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._live: dict[str, ApiKey] = {}
        self._read_at = -math.inf

    def find(self, secret: str) -> ApiKey | None:
        """The live key that this is, or None. Reads the database at most every FRESH_SECONDS.

        Raises:
            StoreError: the keys cannot be read; nobody is let in on what was known before.
        """
        return self.live().get(keys.digest(secret))

    def live(self) -> dict[str, ApiKey]:
        """Every live key by its hash."""
        with self._lock:
            if time.monotonic() - self._read_at > FRESH_SECONDS:
                self._live = keys.live(self._store.engine)
                self._read_at = time.monotonic()
            return self._live

    def forget(self) -> None:
        """Read the database at the next look-up."""
        self._read_at = -math.inf

    @property
    def stale(self) -> bool:
        """Will the next look-up read the database?"""
        return time.monotonic() - self._read_at > FRESH_SECONDS
