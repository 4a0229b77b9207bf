"""Bounds of a share."""

from __future__ import annotations


def wilson(hits: int, of: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson 1927); (0, 1) where nothing is known. z: 95 % by default."""
    if of == 0:
        return 0.0, 1.0
    share, unit = hits / of, z * z / of
    middle = (share + unit / 2) / (1 + unit)
    half = z * (share * (1 - share) / of + unit / of / 4) ** 0.5 / (1 + unit)
    return max(0.0, middle - half), min(1.0, middle + half)
