"""The canary's test: it covers at every sample size, and it decides."""

from __future__ import annotations

import numpy as np
import pytest

from components.canary import Outcome, bounds, decide
from components.config import CanarySettings

SETTINGS = CanarySettings(share=0.1, confidence=0.95, answers=500)


def test_without_answers_the_interval_is_everything_and_with_more_it_narrows_around_the_rate() -> None:
    assert bounds(Outcome(), 0.05) == (0.0, 1.0)
    widths = []
    for n in (10, 100, 1000, 10000):
        low, high = bounds(Outcome(n, n // 10), 0.05)
        assert low < 0.1 < high
        widths.append(high - low)
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.03
    assert bounds(Outcome(50, 0), 0.05)[0] == 0.0
    assert bounds(Outcome(50, 50), 0.05)[1] == 1.0


@pytest.mark.parametrize("rate", [0.02, 0.3, 0.9])
def test_the_true_rate_is_inside_at_every_look_with_at_least_the_confidence(rate: float) -> None:
    random = np.random.default_rng(5)
    runs, missed = 100, 0
    for _ in range(runs):
        failures = np.cumsum(random.random(400) < rate)
        looks = [(n, int(failures[n - 1])) for n in (*range(1, 40), *range(40, 401, 40))]
        intervals = (bounds(Outcome(n, k), 0.1) for n, k in looks)
        missed += any(not low <= rate <= high for low, high in intervals)
    assert missed / runs <= 0.1, "a plain 90% interval, looked at so often, misses in about half of the runs"


def test_an_equal_canary_is_hardly_ever_withdrawn_however_often_one_looks() -> None:
    random = np.random.default_rng(7)
    withdrawn = 0
    for _ in range(100):
        canary = np.cumsum(random.random(400) < 0.1)
        champion = np.cumsum(random.random(3600) < 0.1)
        for n in range(5, 400, 15):
            outcomes = Outcome(n, int(canary[n - 1])), Outcome(9 * n, int(champion[9 * n - 1]))
            if decide(*outcomes, SETTINGS).what == "withdraw":
                withdrawn += 1
                break
    assert withdrawn / 100 <= 0.05


def test_a_bad_one_goes_after_a_few_answers_a_better_one_comes_early_and_an_equal_one_at_the_end() -> None:
    bad = decide(Outcome(15, 12), Outcome(135, 12), SETTINGS)
    assert bad.what == "withdraw"
    assert bad.why.startswith("it fails more often: failed 80.0% of 15 (")
    better = decide(Outcome(80, 2), Outcome(700, 350), SETTINGS)
    assert better.what == "promote"
    assert "less often" in better.why
    assert decide(Outcome(200, 20), Outcome(1800, 180), SETTINGS).what == "wait"
    assert decide(Outcome(500, 50), Outcome(4500, 450), SETTINGS).what == "promote"
    assert decide(Outcome(), Outcome(), SETTINGS).what == "wait"
