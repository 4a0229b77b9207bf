"""Calibration, by hand; and the linear model that label tasks are held against."""

from __future__ import annotations

import math

import pytest

from components.evaluation import baseline
from components.evaluation.calibration import calibration
from components.schema import Example, Message


def test_the_error_is_the_weighted_distance_of_confidence_and_accuracy() -> None:
    sure_and_right, sure_and_wrong, unsure = [0.95, 0.05], [0.95, 0.05], [0.35, 0.65]
    found = calibration(("a", "b"), [sure_and_right, sure_and_wrong, unsure, unsure], ["a", "b", "b", "b"])
    assert found is not None
    assert [(b.rows, b.confidence, b.accuracy) for b in found.bins] == [(2, 0.65, 1.0), (2, 0.95, 0.5)]
    assert found.ece == pytest.approx(0.5 * 0.35 + 0.5 * 0.45)
    assert found.nll == pytest.approx(-(math.log(0.95) + math.log(0.05) + 2 * math.log(0.65)) / 4, abs=1e-6)


def test_a_model_that_is_as_right_as_it_says_has_no_error() -> None:
    found = calibration(("a", "b"), [[0.75, 0.25]] * 4, ["a", "a", "a", "b"])
    assert found is not None
    assert found.ece == 0
    assert calibration(("a", "b"), [], []) is None


def test_a_truth_that_is_no_label_counts_as_wrong() -> None:
    found = calibration(("a", "b"), [[1.0, 0.0]], ["c"])
    assert found is not None
    assert (found.ece, found.bins[0].accuracy) == (1.0, 0.0)
    assert math.isfinite(found.nll)


def _rows(count: int, start: int = 0) -> list[Example]:
    said = ("win a free prize now {}", "see you at home {}")
    return [
        Example(
            id=str(n),
            messages=(
                Message(role="user", content=said[n % 2].format(n)),
                Message(role="assistant", content=("spam", "ham")[n % 2]),
            ),
        )
        for n in range(start, start + count)
    ]


def test_the_linear_model_learns_what_words_give_away_and_says_probabilities() -> None:
    found = baseline.answered(_rows(60), [_rows(20, 100), []], seed=1)
    assert found is not None
    assert found[0].answers == [e.answer for e in _rows(20, 100)]
    assert all(sum(row) == pytest.approx(1) for row in found[0].probabilities)
    assert found[1].answers == []
    assert baseline.answered([e for e in _rows(60) if e.answer == "ham"], [_rows(2)], seed=1) is None
