"""What a selection was made of and why: selection.json."""

from __future__ import annotations

from typing import Literal

from components.schema import Record

Reason = Literal[
    "no_champion",
    "no_strengths",
    "no_rows",
    "no_time",
    "other_base",
    "other_template",
    "other_labels",
    "other_shape",
    "other_start",
    "same_weights",
    "not_floating",
    "no_gain",
    "within",
    "least_loss",
]
"""Why a version was taken. All before `no_gain` say why nothing was compared: the trained version is the candidate."""


class Point(Record):
    """One version on the tuning rows; the champion is strength 0, the trained version strength 1."""

    name: str
    strength: float
    target: float
    """Mean of the verdict's metric on tuning_target."""
    guard: float
    """So on tuning_guard."""


class Selection(Record):
    """Every point that was looked at, which was taken, and why."""

    taken: float
    """Its strength."""
    reason: Reason
    metric: str
    target_rows: int
    guard_rows: int
    most_loss: float
    """Of the guard, that a point may lose against the champion and count as losing nothing."""
    keep: float
    """Least share of the best gain on the target that the taken point must have."""
    points: tuple[Point, ...] = ()
    """By strength, the champion first; empty where nothing was compared."""
    left_out: tuple[float, ...] = ()
    """Strengths for which `select.minutes` left no time."""
