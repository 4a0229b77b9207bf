"""Properties of the paired bootstrap that hold for any data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.evaluation.statistics import paired_bootstrap

VALUES = st.floats(0, 1).map(lambda v: round(v, 3))
PAIRS = st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=60)
FEW = settings(deadline=None, max_examples=60)


def bootstrap(pairs: list[tuple[float, float]], seed: int = 0, confidence: float = 0.95):  # type: ignore[no-untyped-def]
    before, after = zip(*pairs, strict=True)
    return paired_bootstrap(before, after, confidence=confidence, resamples=2000, seed=seed)


@given(PAIRS)
@FEW
def test_the_interval_contains_the_gain(pairs: list[tuple[float, float]]) -> None:
    interval = bootstrap(pairs)
    assert interval.lower <= interval.gain <= interval.upper
    assert interval.lower >= -1
    assert interval.upper <= 1


@given(PAIRS)
@FEW
def test_swapping_champion_and_candidate_negates_the_gain_and_mirrors_the_interval(
    pairs: list[tuple[float, float]],
) -> None:
    one, other = bootstrap(pairs), bootstrap([(b, a) for a, b in pairs])
    assert one.gain == pytest.approx(-other.gain, abs=1e-12)
    spread = one.upper - one.lower
    assert one.lower == pytest.approx(-other.upper, abs=0.02 + 0.2 * spread)
    assert one.upper == pytest.approx(-other.lower, abs=0.02 + 0.2 * spread)


@given(PAIRS, st.integers(0, 1000))
@FEW
def test_the_same_seed_gives_the_same_interval_whatever_the_order(pairs: list[tuple[float, float]], seed: int) -> None:
    shuffled = sorted(pairs, key=lambda p: (p[1], p[0]))
    one, other = bootstrap(pairs, seed), bootstrap(shuffled, seed)
    assert (one.lower, one.upper) == pytest.approx((other.lower, other.upper), abs=1e-12)


@given(st.lists(VALUES, min_size=1, max_size=40))
@FEW
def test_a_model_compared_with_itself_gains_exactly_nothing(values: list[float]) -> None:
    assert bootstrap([(v, v) for v in values]) == (0.0, 0.0, 0.0)


@given(PAIRS)
@FEW
def test_more_confidence_never_narrows_the_interval(pairs: list[tuple[float, float]]) -> None:
    narrow, wide = bootstrap(pairs, confidence=0.8), bootstrap(pairs, confidence=0.99)
    assert wide.lower <= narrow.lower
    assert narrow.upper <= wide.upper


def test_the_interval_agrees_with_scipys_own_bootstrap() -> None:
    from scipy.stats import bootstrap as reference

    rng = np.random.default_rng(3)
    before, after = rng.integers(0, 2, 200).astype(float), rng.integers(0, 2, 200) * 0.5 + 0.3
    ours = paired_bootstrap(before, after, confidence=0.95, resamples=20_000, seed=1)
    theirs = reference(
        (after - before,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert (ours.lower, ours.upper) == pytest.approx((theirs.low, theirs.high), abs=0.005)


def test_in_repeated_samples_the_interval_covers_the_true_gain_about_as_often_as_it_says() -> None:
    rng, covered = np.random.default_rng(5), 0
    for trial in range(300):
        before, after = rng.random(150) < 0.6, rng.random(150) < 0.7
        interval = paired_bootstrap(list(before), list(after), confidence=0.95, resamples=1000, seed=trial)
        covered += interval.lower <= 0.1 <= interval.upper
    assert 0.90 <= covered / 300 <= 0.99


@pytest.mark.parametrize(("before", "after"), [([], []), ([1.0], [1.0, 0.0])])
def test_unpaired_or_no_examples_are_refused(before: list[float], after: list[float]) -> None:
    with pytest.raises(ValueError, match="same examples on both sides"):
        paired_bootstrap(before, after, confidence=0.95, resamples=100, seed=0)
