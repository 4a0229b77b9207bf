"""Which point between champion and trained version becomes the candidate."""

from __future__ import annotations

from collections.abc import Sequence

from components.selection.record import Point, Reason

KEEP = 0.9
"""Least share of the best point's gain on the target that the taken one must have: no remedy gives the gain away."""
LOSS = 0.25
"""Share of promotion.delta that a point may lose on the guard rows and count as losing nothing."""


def choose(champion: Point, points: Sequence[Point], most_loss: float) -> tuple[Point, Reason]:
    """The strongest point that loses no more than `most_loss` on the guard and keeps `KEEP` of the best gain.

    Where none loses so little, of those that keep so much of the gain the one that loses least, of equal ones the
    stronger. Where nothing is gained, the strongest: the verdict is then about what was trained.

    Args:
        points: at least one.
    """
    strongest = max(points, key=lambda point: point.strength)
    best = max(point.target - champion.target for point in points)
    if best <= 0:
        return strongest, "no_gain"
    useful = [point for point in points if point.target - champion.target >= KEEP * best - 1e-9]
    within = [point for point in useful if champion.guard - point.guard <= most_loss + 1e-9]
    if within:
        return max(within, key=lambda point: point.strength), "within"
    return min(useful, key=lambda point: (champion.guard - point.guard, -point.strength)), "least_loss"
