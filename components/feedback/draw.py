"""A random draw that is a function of seed and name: the same whenever, wherever and in whatever order it is made."""

from __future__ import annotations

import hashlib


def fraction(seed: int, *parts: str) -> float:
    """A number in [0, 1) that depends on seed and parts alone."""
    digest = hashlib.sha256("\x1f".join((str(seed), *parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
