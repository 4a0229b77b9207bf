"""The candidate is the strongest point that loses nothing and keeps the gain."""

from __future__ import annotations

import pytest

from components.selection.choice import KEEP, choose
from components.selection.record import Point

CHAMPION = Point(name="champion", strength=0.0, target=0.1, guard=0.96)


def point(strength: float, target: float, guard: float) -> Point:
    return Point(name=f"{strength:g}", strength=strength, target=target, guard=guard)


def test_the_trained_version_is_taken_where_it_loses_nothing() -> None:
    taken, reason = choose(CHAMPION, [point(0.5, 0.8, 0.97), point(1.0, 0.9, 0.957)], most_loss=0.005)
    assert (taken.strength, reason) == (1.0, "within")


def test_a_weaker_point_is_taken_where_the_stronger_ones_lose_too_much() -> None:
    points = [point(0.25, 0.5, 0.97), point(0.5, 0.86, 0.96), point(0.75, 0.88, 0.956), point(1.0, 0.9, 0.94)]
    taken, reason = choose(CHAMPION, points, most_loss=0.005)
    assert (taken.strength, reason) == (0.75, "within")


def test_no_point_is_taken_that_gives_the_gain_away_however_little_it_loses() -> None:
    points = [point(0.25, 0.3, 0.97), point(0.75, 0.88, 0.93), point(1.0, 0.9, 0.92)]
    taken, reason = choose(CHAMPION, points, most_loss=0.005)
    assert (taken.strength, reason) == (0.75, "least_loss")
    assert taken.target - CHAMPION.target >= KEEP * 0.8


@pytest.mark.parametrize("guard", [0.9, 0.99])
def test_where_nothing_is_gained_the_verdict_is_about_what_was_trained(guard: float) -> None:
    taken, reason = choose(CHAMPION, [point(0.5, 0.1, guard), point(1.0, 0.05, 0.9)], most_loss=0.005)
    assert (taken.strength, reason) == (1.0, "no_gain")


def test_of_points_that_lose_alike_the_strongest_is_taken() -> None:
    points = [point(0.5, 0.9, 0.93), point(0.75, 0.9, 0.93), point(1.0, 0.9, 0.92)]
    assert choose(CHAMPION, points, most_loss=0.0)[0].strength == 0.75


def test_a_loss_of_exactly_the_most_is_none() -> None:
    assert choose(CHAMPION, [point(0.5, 0.9, 0.97), point(1.0, 0.9, 0.96 - 0.005)], 0.005)[0].strength == 1.0
